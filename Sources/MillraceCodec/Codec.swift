/// The state-diff codec, level 1: one follower's coding state, the same class on the sequencer's side and on a replica's.
/// Spec 30 is its format.
///
///                encode(diff, base)                        decode(payload, base)
///     diff ──▶ new keys · keys · values ──▶ payload ──▶ new keys · keys · values ──▶ diff
///                      │  models of this 100 ms window: both sides alike  │
///                      └───────── advance(past: diff) on both sides ──────┘
///
/// *Calls come in the order of heights*: encode or decode with the state before the diff, apply the diff, then `advance`.
/// Models restart at the heights that begin a 100 ms window (1, 11, 21, …), and what a key's history counts is whole
/// windows and seconds, so that one who holds the state and the histories can join there.
///
/// Encoding is a function of (diff, base, coding state), integers only: every machine, debug or release, gives the same
/// bytes. Decoding is total: any bytes give a diff in canonical shape, with the base's old values and ids in range, or a
/// `CodecError`, in time and memory bounded by `CodecLimits`; after an error the coding state is what it was before the
/// call. Two things a decoder cannot see without looking up keys are left to `State.apply`, which refuses the diff as a
/// whole: that new keys are not known yet, and that new codes ascend by hash.
///
/// Not one range coder for everything: two thirds of a payload are the lower bits of random amounts, which no model
/// shortens; they go past it as raw bits.
///
/// Working memory is kept from payload to payload; the steady state allocates nothing.

internal import MillraceBase
public import MillraceDiff

public final class Codec {
    /// The codec's number in slice headers.
    public static let id: UInt8 = 1

    let bank = ModelBank()
    let accountActivity: ActivityTable
    let slotActivity: ActivityTable
    var accountValues = AccountValues(indexed: true)
    var slotValues = SlotValues(indexed: true)
    var writer: ColumnWriter
    var codes = CodeColumn()

    var groups = ContractGroups()
    var ids = Scratch<UInt32>(capacity: 4096)
    var otherIDs = Scratch<UInt32>(capacity: 4096)
    var contracts = Scratch<UInt32>(capacity: 4096)
    var newChanged = Scratch<UInt32>(capacity: 1024)
    var slotNames = SlotNames()
    var namedSlots: [NamedSlot] = []
    /// `SlotKind` by change.
    var slotKinds = Scratch<UInt8>(capacity: 1024)
    let standIn = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)

    /// What the columns cost, when asked for. Encoder only.
    public var ledger: ColumnLedger?

    deinit { standIn.deallocate() }

    /// The numberings that cold accounts and slots are named in.
    let accountSpread: IDSpread
    let slotSpread: IDSpread

    public init(accounts: IDSpread = .none, slots: IDSpread = .none) {
        accountSpread = accounts
        slotSpread = slots
        accountActivity = ActivityTable(spread: accounts)
        slotActivity = ActivityTable(spread: slots)
        writer = ColumnWriter(models: bank.models)
    }

    // MARK: Windows

    /// Mini-blocks in a window: models restart every 100 ms.
    public static let windowHeights: UInt64 = 10

    func beginPayload(firstHeight: UInt64) {
        if firstHeight % Codec.windowHeights == 1 || firstHeight == 0 {
            bank.reset()
            accountValues.reset()
            slotValues.widths.reset()
        }
        bank.save()
        accountValues.save()
        slotValues.widths.save()
        slotValues.beginPayload()
    }

    /// Takes back the last `encode` or `decode`: what its payload taught the models is forgotten, and the next call finds the
    /// coding state that this one found. For whoever will not apply the diff after all. Owes that no `advance` came since.
    public func takeBack() { abandonPayload() }

    /// Forgets what the payload under way taught the models.
    func abandonPayload() {
        bank.restore()
        accountValues.restore()
        slotValues.widths.restore()
    }

    /// Follows the stream past a diff that has been applied. Genesis diffs leave no trace.
    public func advance(past diff: StateDiff, state: State) {
        guard diff.kind != .genesis, diff.lastHeight > 0 else { return }
        ids.ensure(max(diff.accountChanges.count, diff.slotChanges.count))
        let ids = ids.base
        diff.accountChanges.withUnsafeBufferPointer { changes in
            for i in 0..<changes.count { ids[i] = changes[i].id.index }
            accountActivity.note(ids, count: changes.count)
        }
        diff.slotChanges.withUnsafeBufferPointer { changes in
            for i in 0..<changes.count { ids[i] = changes[i].id.index }
            slotActivity.note(ids, count: changes.count)
        }
        if diff.lastHeight % Codec.windowHeights == 0 {
            let window = Int((diff.lastHeight - 1) % Limits.miniBlocksPerEVMBlock / Codec.windowHeights)
            let endsSecond = diff.lastHeight % Limits.miniBlocksPerEVMBlock == 0
            accountActivity.endWindow(window, endsSecond: endsSecond)
            slotActivity.endWindow(window, endsSecond: endsSecond)
        }
    }
}
