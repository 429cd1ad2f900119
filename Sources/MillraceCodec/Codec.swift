/// The state-diff codec: one follower's coding state, the same class on the sequencer's side and on a replica's.
/// Spec 30 is its format.
///
///                encode(diff, base)                        decode(payload, base)
///     diff ──▶ operations · patches ──▶ payload ──▶ operations · patches ──▶ diff
///                  │  both sides run them and predict alike  │
///                  └────── advance(past: diff) on both ──────┘
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

    /// Operations: who and what they name, what is remembered of them, and what they predict.
    let people = PopularityTable()
    let tokens = PopularityTable()
    let poolTable = PopularityTable()
    var memory = OperationMemory()
    let runner = OperationRunner()
    var operationScratch = OperationScratch()
    var predicted = PredictedKeys()
    var patches = Patches()
    /// The operations of the diff encoded last are not in its payload: no follower counts what they name.
    var leavesOutOperations = false
    /// Where each section's told slots end.
    var toldEnds: [Int] = []
    var newPatches: [UInt32] = []

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

    /// What the columns cost, when asked for: an encoder's bits, and with a clock both sides' time.
    public var ledger: ColumnLedger?
    private var charged = 0.0

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

    /// Operations count for whom and what they name, height by height.
    private func notePopularity(_ diff: StateDiff) {
        var (transaction, action) = (0, 0)
        let sections = leavesOutOperations ? [] : diff.operations.sections
        leavesOutOperations = false
        let heights = diff.lastHeight - diff.firstHeight + 1
        for i in 0..<heights {
            if i < UInt64(sections.count) {
                let section = sections[Int(i)]
                for _ in 0..<section.transactions {
                    people.note(diff.operations.transactions[transaction].sender.index)
                    transaction += 1
                }
                for _ in 0..<section.actions {
                    note(diff.operations.actions[action], diff)
                    action += 1
                }
            }
            let height = diff.firstHeight &+ i
            people.endSection(height: height, windowHeights: Codec.windowHeights)
            tokens.endSection(height: height, windowHeights: Codec.windowHeights)
            poolTable.endSection(height: height, windowHeights: Codec.windowHeights)
        }
    }

    @inline(__always)
    private func note(_ action: Action, _ diff: borrowing StateDiff) {
        switch action.kind {
        case .swap: poolTable.note(action.fact.index)
        case .ether: if action.payee.literal == nil { people.note(action.payee.raw) }
        case .transfer:
            tokens.note(action.fact.index)
            if action.payee.literal == nil { people.note(action.payee.raw) }
        case .mint, .burn: tokens.note(action.fact.index)
        }
    }

    // MARK: Windows

    /// Mini-blocks in a window: models restart every 100 ms.
    public static let windowHeights: UInt64 = 10

    func beginPayload(firstHeight: UInt64) {
        if firstHeight % Codec.windowHeights == 1 || firstHeight == 0 {
            bank.reset()
            accountValues.reset()
            slotValues.widths.reset()
            memory.reset()
        }
        memory.save()
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
        memory.restore()
    }

    /// Puts what has been written since the last charge on a column's account, and where there is a clock the time.
    @inline(__always)
    func charge<C: ColumnCoder & ~Copyable>(_ column: ColumnLedger.Column, _ coder: borrowing C) {
        if ledger == nil { return }
        if C.isReader {
            ledger?.add(0, to: column)
            return
        }
        let now = coder.bitsSpent
        ledger?.add(now - charged, to: column)
        charged = now
    }

    func beginCharging() { charged = 0 }

    /// Follows the stream past a diff that has been applied. Genesis diffs leave no trace.
    public func advance(past diff: StateDiff, state: State) {
        guard diff.kind != .genesis, diff.lastHeight > 0 else { return }
        notePopularity(diff)
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
