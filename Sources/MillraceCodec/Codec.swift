/// The state-diff codec: one follower's coding state, the same class on the sequencer's side and on a replica's.
/// Spec 30 is its format.
///
///                encode(diff, base)                        decode(payload, base)
///     diff ──▶ operations · patches ──▶ payload ──▶ operations · patches ──▶ diff
///                  │  both sides run them and predict alike  │
///                  └────── advance(past: diff) on both ──────┘
///
/// *Calls come in the order of heights*: encode or decode with the state before the diff, apply the diff, then `advance`.
/// What was learned restarts every ten mini-blocks, and with every window of a coarser cadence (`Cadence.restartHeights`). All
/// that outlives a restart is the state with its facts, and how popular senders, parties, tokens and pools are; both are the
/// same for followers of all cadences. So a follower may change its cadence at any start of a window of the new one
/// (`change(to:)`), and one who holds the state and `popularityBytes()` can join there.
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

public import MillraceBase
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

    /// The windows that payloads carry. The coding state is that of this cadence.
    public private(set) var cadence: Cadence
    /// The heights of the last payload coded, while its patches wait for `advance`; nil after `takeBack`.
    private var coded: (first: UInt64, last: UInt64)?

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
    /// For each of `newPatches` its place among the slots told, or -1.
    var newPatchTold: [Int32] = []
    /// `SlotKind` by patch.
    var slotKinds = Scratch<UInt8>(capacity: 1024)
    let standIn = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)

    /// What the columns cost, when asked for: an encoder's bits, and with a clock both sides' time.
    public var ledger: ColumnLedger?
    private var charged = 0.0

    deinit { standIn.deallocate() }

    /// The numberings that cold accounts and slots are named in.
    let accountSpread: IDSpread
    let slotSpread: IDSpread

    public init(cadence: Cadence = .c0, accounts: IDSpread = .none, slots: IDSpread = .none) {
        self.cadence = cadence
        accountSpread = accounts
        slotSpread = slots
        accountActivity = ActivityTable(spread: accounts)
        slotActivity = ActivityTable(spread: slots)
        writer = ColumnWriter(models: bank.models)
    }

    // MARK: Restarts

    /// Follows the stream at another cadence from the next payload on, which must begin a restart interval of that one.
    /// On both sides alike: where a sequencer's codec of that cadence has restarted, this one now codes as it does.
    public func change(to cadence: Cadence) { self.cadence = cadence }

    func beginPayload(firstHeight: UInt64, lastHeight: UInt64) {
        if firstHeight % cadence.restartHeights == 1 || firstHeight == 0 {
            accountActivity.restart()
            slotActivity.restart()
            bank.reset()
            accountValues.reset()
            slotValues.reset()
            memory.reset()
        }
        memory.save()
        bank.save()
        accountValues.save()
        slotValues.save()
        slotValues.beginPayload()
        accountActivity.forget()
        slotActivity.forget()
        coded = (firstHeight, lastHeight)
        leavesOutOperations = false
    }

    /// Takes back the last `encode` or `decode`: what its payload taught the models is forgotten, and the next call finds the
    /// coding state that this one found. For whoever will not apply the diff after all. Owes that no `advance` came since.
    public func takeBack() {
        abandonPayload()
        coded = nil
    }

    /// Forgets what the payload under way taught the models.
    func abandonPayload() {
        accountActivity.forget()
        slotActivity.forget()
        bank.restore()
        accountValues.restore()
        slotValues.restore()
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

    /// Follows the stream past a diff that has been applied. Genesis diffs leave no trace. One that was not coded here last
    /// leaves none but its operations': whoever passes such must not code again before a restart.
    public func advance(past diff: StateDiff, state: State) {
        guard diff.kind != .genesis, diff.lastHeight > 0 else { return }
        let isCoded = coded.map { $0 == (diff.firstHeight, diff.lastHeight) } ?? false
        notePopularity(diff, withOperations: !isCoded || !leavesOutOperations)
        if !isCoded {
            accountActivity.forget()
            slotActivity.forget()
        }
        coded = nil
        // A window begins anew.
        if cadence != .c0 { return }
        let index = Int((diff.lastHeight - 1) % 10)
        accountActivity.endPayload(index)
        slotActivity.endPayload(index)
    }
}
