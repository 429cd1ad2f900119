/// How popularity comes out of a window that is told by values (Spec 30.15, rule 4). Whoever passes one knows what it says of the
/// senders: their nonces rose once for each transaction. From that a table is guessed, and corrections say where the true one
/// differs: whom payments went to, which tokens and pools were used.
///
///     corrections  people, tokens, pools: three lists
///     list         varint number of ids, then for each, ascending: varint gap to the one before plus one,
///                  varint zigzag(weight − guessed weight), not 0

internal import MillraceBase
public import MillraceDiff

extension Codec {
    /// What leads from this codec's popularity, which has just passed `diff` without operations, to that of `other`, which has
    /// passed the same heights with them. Nil within a window of ten heights that has named anybody.
    public func popularityCorrections(to other: Codec, past diff: StateDiff) -> [UInt8]? {
        guard other.people.isSettled, other.tokens.isSettled, other.poolTable.isSettled else { return nil }
        var bytes: [UInt8] = []
        Codec.guess(senders: diff, people.entries).append(correctionsTo: other.people.entries, to: &bytes)
        WeightList(tokens.entries).append(correctionsTo: other.tokens.entries, to: &bytes)
        WeightList(poolTable.entries).append(correctionsTo: other.poolTable.entries, to: &bytes)
        return bytes
    }

    /// Corrects the popularity, which has just passed `diff`. Total: corrections are taken or refused as a whole
    /// (`badPopularity`), in time and memory bounded by their bytes, the diff and the state.
    func correctPopularity(_ bytes: RawSpan, past diff: StateDiff, state: State) throws(CodecError) {
        let facts = state.facts.count
        var reader = ByteReader(bytes)
        let corrected = (
            try Codec.guess(senders: diff, people.entries).corrected(by: &reader, ids: state.accountCount),
            try WeightList(tokens.entries).corrected(by: &reader, ids: facts),
            try WeightList(poolTable.entries).corrected(by: &reader, ids: facts)
        )
        guard reader.isAtEnd else { throw .badPopularity }
        people.set(corrected.0)
        tokens.set(corrected.1)
        poolTable.set(corrected.2)
    }

    /// Each transaction is a mention of its sender. Where the window ends with a halving, the mentions were halved too.
    private static func guess(
        senders diff: StateDiff, _ entries: [(id: UInt32, weight: UInt32)]
    ) -> WeightList {
        let unit =
            UInt64(PopularityTable.unit) >> (diff.lastHeight % PopularityTable.halvingHeights == 0 ? 1 : 0)
        let most = UInt64(PopularityTable.weightMax)
        var all = WeightList([])
        all.reserve(entries.count + diff.accountChanges.count)
        var i = 0
        for change in diff.accountChanges {
            let id = change.id.index
            while i < entries.count, entries[i].id < id {
                all.append(entries[i].id, entries[i].weight)
                i += 1
            }
            var weight: UInt64 = 0
            if i < entries.count, entries[i].id == id {
                weight = UInt64(entries[i].weight)
                i += 1
            }
            // A contract's nonce counts what it created; one that began anew has sent nothing.
            let isSender = change.old.code == .none && change.new.nonce > change.old.nonce
            if isSender { weight = min(weight + min(change.new.nonce - change.old.nonce, most) * unit, most) }
            if weight > 0 { all.append(id, UInt32(weight)) }
        }
        while i < entries.count {
            all.append(entries[i].id, entries[i].weight)
            i += 1
        }
        return all
    }
}

/// Ids with a weight above 0, ascending.
struct WeightList {
    private(set) var entries = PopularityTable.Entries()

    init(_ all: [(id: UInt32, weight: UInt32)]) {
        reserve(all.count)
        for entry in all { append(entry.id, entry.weight) }
    }

    mutating func reserve(_ count: Int) {
        entries.ids.reserveCapacity(count)
        entries.weights.reserveCapacity(count)
    }

    mutating func append(_ id: UInt32, _ weight: UInt32) {
        entries.ids.append(id)
        entries.weights.append(weight)
    }

    func append(correctionsTo other: [(id: UInt32, weight: UInt32)], to bytes: inout [UInt8]) {
        var list: [UInt8] = []
        var count: UInt64 = 0
        var next: UInt32 = 0
        func correct(_ id: UInt32, by difference: Int64) {
            if difference == 0 { return }
            count += 1
            list.appendVarint(UInt64(id - next))
            list.appendVarint(UInt64(bitPattern: difference << 1 ^ difference >> 63))
            next = id + 1
        }
        var i = 0
        for (id, weight) in other {
            while i < entries.ids.count, entries.ids[i] < id {
                correct(entries.ids[i], by: -Int64(entries.weights[i]))
                i += 1
            }
            let isGuessed = i < entries.ids.count && entries.ids[i] == id
            correct(id, by: Int64(weight) - (isGuessed ? Int64(entries.weights[i]) : 0))
            if isGuessed { i += 1 }
        }
        while i < entries.ids.count {
            correct(entries.ids[i], by: -Int64(entries.weights[i]))
            i += 1
        }
        bytes.appendVarint(count)
        bytes.append(contentsOf: list)
    }

    /// Ids are below `end`.
    func corrected(by reader: inout ByteReader, ids end: Int) throws(CodecError) -> PopularityTable.Entries {
        var result = WeightList([])
        var i = 0
        do {
            // Two bytes for each at least.
            let count = try reader.varint(atMost: reader.remaining / 2)
            result.reserve(entries.ids.count + count)
            var next = 0
            for _ in 0..<count {
                let id = next + (try reader.varint(atMost: end - next - 1))
                guard id < end else { throw CodecError.badPopularity }
                let zigzag = try reader.varint(atMost: PopularityTable.weightMax * 2)
                while i < entries.ids.count, Int(entries.ids[i]) < id {
                    result.append(entries.ids[i], entries.weights[i])
                    i += 1
                }
                var weight = zigzag & 1 == 0 ? zigzag >> 1 : -(zigzag >> 1) - 1
                if i < entries.ids.count, Int(entries.ids[i]) == id {
                    weight += Int(entries.weights[i])
                    i += 1
                }
                guard zigzag != 0, (0...PopularityTable.weightMax).contains(weight) else {
                    throw CodecError.badPopularity
                }
                if weight > 0 { result.append(UInt32(id), UInt32(weight)) }
                next = id + 1
            }
        } catch {
            throw .badPopularity
        }
        while i < entries.ids.count {
            result.append(entries.ids[i], entries.weights[i])
            i += 1
        }
        guard result.entries.ids.count <= PopularityTable.hotCountMax else { throw .badPopularity }
        return result.entries
    }
}
