/// What outlives a restart beside the state: whom and what operations named how often (Spec 30.6). It follows from the
/// stream's operations, not from any value, so a snapshot for one who joins must carry it.
///
///     popularity  people, tokens, pools: three tables
///     table       varint number of ids, then for each, ascending: varint gap to the one before plus one, varint weight

internal import MillraceBase
public import MillraceDiff

extension Codec {
    /// Operations count for whom and what they name, height by height.
    func notePopularity(_ diff: StateDiff, withOperations: Bool) {
        var (transaction, action) = (0, 0)
        let operations = diff.operations
        guard diff.firstHeight <= diff.lastHeight else { return }
        let heights = diff.lastHeight - diff.firstHeight + 1
        for i in 0..<heights {
            if withOperations, i < UInt64(operations.sections.count) {
                let section = operations.sections[Int(i)]
                for _ in 0..<min(Int(section.transactions), operations.transactions.count - transaction) {
                    people.note(operations.transactions[transaction].sender.index)
                    transaction += 1
                }
                for _ in 0..<min(Int(section.actions), operations.actions.count - action) {
                    note(operations.actions[action])
                    action += 1
                }
            }
            let height = diff.firstHeight &+ i
            people.endSection(height: height)
            tokens.endSection(height: height)
            poolTable.endSection(height: height)
        }
    }

    @inline(__always)
    private func note(_ action: Action) {
        switch action.kind {
        case .swap: poolTable.note(action.fact.index)
        case .ether: if action.payee.literal == nil { people.note(action.payee.raw) }
        case .transfer:
            tokens.note(action.fact.index)
            if action.payee.literal == nil { people.note(action.payee.raw) }
        case .mint, .burn: tokens.note(action.fact.index)
        }
    }

    // MARK: Joining

    /// The three tables, for `join`; some five bytes an id. Nil within a window of ten heights that has named anybody.
    public func popularityBytes() -> [UInt8]? {
        guard people.isSettled, tokens.isSettled, poolTable.isSettled else { return nil }
        var bytes: [UInt8] = []
        people.append(to: &bytes)
        tokens.append(to: &bytes)
        poolTable.append(to: &bytes)
        return bytes
    }

    /// Takes over the popularity of one who followed the stream up to `state`; the next payload must begin a restart
    /// interval. Total: any bytes are taken or refused as a whole (`badPopularity`), in time and memory bounded by the bytes
    /// and by the state.
    public func join(popularity bytes: RawSpan, state: State) throws(CodecError) {
        let facts = state.facts.count
        var reader = ByteReader(bytes)
        let read = (
            try PopularityTable.Entries(from: &reader, ids: state.accountCount),
            try PopularityTable.Entries(from: &reader, ids: facts),
            try PopularityTable.Entries(from: &reader, ids: facts)
        )
        guard reader.isAtEnd else { throw .badPopularity }
        people.set(read.0)
        tokens.set(read.1)
        poolTable.set(read.2)
    }
}

extension PopularityTable {
    /// Ids, ascending, with their weights.
    struct Entries {
        var ids: [UInt32] = []
        var weights: [UInt32] = []

        init() {}

        /// Ids are below `ids`.
        init(from reader: inout ByteReader, ids end: Int) throws(CodecError) {
            do {
                let count = try reader.varint(atMost: min(PopularityTable.hotCountMax, reader.remaining / 2))
                ids.reserveCapacity(count)
                weights.reserveCapacity(count)
                var next = 0
                for _ in 0..<count {
                    let id = next + (try reader.varint(atMost: end - next - 1))
                    guard id < end else { throw CodecError.badPopularity }
                    let weight = try reader.varint(atMost: PopularityTable.weightMax)
                    guard weight > 0 else { throw CodecError.badPopularity }
                    ids.append(UInt32(truncatingIfNeeded: id))
                    weights.append(UInt32(truncatingIfNeeded: weight))
                    next = id + 1
                }
            } catch {
                throw .badPopularity
            }
        }
    }

    func append(to bytes: inout [UInt8]) {
        let entries = self.entries
        bytes.appendVarint(UInt64(entries.count))
        var next: UInt32 = 0
        for (id, weight) in entries {
            bytes.appendVarint(UInt64(id - next))
            bytes.appendVarint(UInt64(weight))
            next = id + 1
        }
    }
}
