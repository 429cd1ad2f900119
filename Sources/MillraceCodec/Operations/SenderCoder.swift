/// Who sent transactions, and how many each: a multiset, popularity class by class, as gaps in the class's list. The order
/// of transactions among senders costs nothing, since none is told. Spec 30.12.5.

internal import MillraceBase
internal import MillraceDiff

extension Codec {
    func codeSenders<C: ColumnCoder & ~Copyable>(
        _ section: inout Section, of diff: inout StateDiff, at cursor: SectionCursor, base: State,
        _ coder: inout C
    ) throws(CodecError) {
        var count = 0
        var total = 0
        if !C.isReader {
            total = Int(section.transactions)
            operationScratch.senders.ensure(total)
            operationScratch.sendersByClass.ensure(total)
            count = gatherSenders(diff, from: cursor.transactions, count: total)
        }
        // Members by class, in the lists' order; a writer has them sorted so, a reader appends.
        var ends = ClassEnds()
        if !C.isReader { sortByClass(count, &ends) }
        var found = 0
        var repeats = 0
        for c in (0..<PopularityTable.classCount).reversed() {
            let universe =
                c == PopularityTable.cold ? accountSpread.places(runner.accountEnd) : people.count(ofClass: c)
            if universe == 0 { continue }
            let size = C.isReader ? 0 : ends.size(c)
            let members = Int(
                clamping: coder.code(
                    number: UInt64(size), treeBits: ModelMap.shortNumberBits, ModelMap.senderCount(c)))
            if members == 0 { continue }
            guard members <= universe, members <= runner.accountEnd else { throw .badKey }
            try coder.spend(members * OperationCost.transaction)
            if C.isReader {
                operationScratch.senders.grow(to: found + members, keeping: found)
            }
            var gaps = GapModel(count: members, universe: universe, table: 4)
            var next = 0
            for i in 0..<members {
                let pair = C.isReader ? 0 : operationScratch.sendersByClass.base[ends.start(c) &+ i]
                let place = C.isReader ? 0 : senderPlace(UInt32(truncatingIfNeeded: pair >> 32), c)
                let at = next &+ (try coder.code(gap: place &- next, &gaps))
                next = at &+ 1
                let more = coder.code(
                    number: C.isReader ? 0 : (pair & 0xFFFF_FFFF) &- 1, treeBits: ModelMap.shortNumberBits,
                    ModelMap.senderRepeats(c))
                if more > 0 { try coder.spend(Int(more) * OperationCost.transaction) }
                guard C.isReader else { continue }
                let id: UInt32
                if c == PopularityTable.cold {
                    guard let cold = accountSpread.id(at: at), cold < runner.accountEnd else { throw .badKey }
                    id = UInt32(truncatingIfNeeded: cold)
                    if people.classOf(id) != PopularityTable.cold { throw .badKey }
                } else {
                    id = people.id(inClass: c, at: at)
                    guard Int(id) < runner.accountEnd else { throw .badKey }
                }
                repeats += Int(more)
                operationScratch.senders.base[found] = UInt64(id) << 32 | more &+ 1
                found &+= 1
            }
            if coder.isOverrun { throw .truncated }
        }
        guard C.isReader else { return }
        operationScratch.other.ensure(found)
        sortByUpperHalf(operationScratch.senders.base, count: found, other: operationScratch.other.base)
        total = found + repeats
        guard total > 0 else { throw .badOperation }
        diff.operations.transactions.reserveCapacity(diff.operations.transactions.count + total)
        for i in 0..<found {
            let pair = operationScratch.senders.base[i]
            let sender = AccountID(UInt32(truncatingIfNeeded: pair >> 32))
            for _ in 0..<(pair & 0xFFFF_FFFF) {
                diff.operations.transactions.append(
                    Transaction(sender: sender, gas: 0, price: 0, actionCount: 0))
            }
        }
        section.transactions = UInt32(truncatingIfNeeded: total)
    }

    /// Distinct senders with their counts; answers how many.
    private func gatherSenders(_ diff: borrowing StateDiff, from: Int, count: Int) -> Int {
        let senders = operationScratch.senders.base
        var distinct = 0
        var last = UInt32.max
        for i in 0..<count {
            let sender = diff.operations.transactions[from + i].sender.index
            if sender == last, distinct > 0 {
                senders[distinct &- 1] &+= 1
            } else {
                senders[distinct] = UInt64(sender) << 32 | 1
                distinct &+= 1
                last = sender
            }
        }
        return distinct
    }

    private func sortByClass(_ count: Int, _ ends: inout ClassEnds) {
        let (senders, sorted) = (operationScratch.senders.base, operationScratch.sendersByClass.base)
        for i in 0..<count { ends.count(people.classOf(UInt32(truncatingIfNeeded: senders[i] >> 32))) }
        ends.sum()
        for i in 0..<count {
            sorted[ends.next(people.classOf(UInt32(truncatingIfNeeded: senders[i] >> 32)))] = senders[i]
        }
    }

    @inline(__always)
    private func senderPlace(_ id: UInt32, _ c: Int) -> Int {
        c == PopularityTable.cold ? accountSpread.place(of: Int(id)) : people.place(of: id, inClass: c)
    }
}

/// Where each class's members begin and end in a list sorted by class.
struct ClassEnds: ~Copyable {
    private let starts: UnsafeMutablePointer<Int>
    private let sizes: UnsafeMutablePointer<Int>

    init() {
        starts = .allocate(capacity: 2 * PopularityTable.classCount)
        starts.initialize(repeating: 0, count: 2 * PopularityTable.classCount)
        sizes = starts + PopularityTable.classCount
    }

    deinit { starts.deallocate() }

    func count(_ c: Int) { sizes[c] &+= 1 }

    func sum() {
        var total = 0
        for c in 0..<PopularityTable.classCount {
            starts[c] = total
            total += sizes[c]
            sizes[c] = 0
        }
    }

    /// The place of the next member.
    @inline(__always)
    func next(_ c: Int) -> Int {
        sizes[c] &+= 1
        return starts[c] &+ sizes[c] &- 1
    }

    func start(_ c: Int) -> Int { starts[c] }
    func size(_ c: Int) -> Int { sizes[c] }
}
