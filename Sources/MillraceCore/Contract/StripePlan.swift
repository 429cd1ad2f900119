/// Which parent sends which stripe (Spec 60.4, rule 5).
///
/// Data stripe i is parent i mod n's, n being all parents that have a place in the order, so that every parent has the same
/// share whatever K is (runs would leave the last parents idle: at 100,000 TPS a slice has about 10 of its 32 data stripes).
/// Parity stripes are dealt from the other end. One parent also sends headers, as soon as it has them; another one sends
/// sums of headers, from which a lost one comes back (`HeaderSum`): a lost header would block a whole slice. With one
/// parent, it sends both.
///
/// Stripes of a parent that cannot be used go to those that are giving at this moment, the least burdened first; and they
/// stay there until it gives again. Nothing else moves. Were they dealt anew over those that are left, nearly every
/// stripe would change its parent, and some would go to parents that have nothing to do, and whose silence nobody has noticed.

import MillraceBase
import MillraceWire

struct StripePlan: Equatable {
    /// What is known of a parent.
    enum Standing: Int8, Comparable {
        /// It has no place in the order any more.
        case gone
        /// Nothing may be asked of it.
        case unusable
        /// Nothing at all came from it lately.
        case unheard
        case heard
        /// It gives shreds or headers.
        case giving

        static func < (a: Standing, b: Standing) -> Bool { a.rawValue < b.rawValue }
    }

    /// Stripes by parent index; empty for parents that are not usable.
    private(set) var stripes: [StripeSet]
    private(set) var headers: [HeaderTerms]
    /// The parent of each stripe; -1 for stripes nobody sends.
    private(set) var owner: [Int8]
    /// Headers are first asked of the parent with this index or the next one.
    private let turn: Int
    private var headersBy: Int?
    private(set) var sumsBy: Int?

    /// `previous` is the plan that this one follows; `movesSums`: whoever has them there does not send them.
    init(
        _ standings: [Standing], parityStripes: Int, turn: Int = 0, sumEvery: UInt8 = 0,
        after previous: StripePlan? = nil, movesSums: Bool = false
    ) {
        stripes = Array(repeating: .empty, count: standings.count)
        headers = Array(repeating: .none, count: standings.count)
        owner = Array(repeating: -1, count: StripeSet.stripesMax)
        self.turn = turn
        let choice = Choice(standings)
        let places = standings.indices.filter { standings[$0] != .gone }
        if !places.contains(where: choice.allows) { return }
        deal(0..<StripeSet.dataStripesMax, choice, previous) { places[$0 % places.count] }
        let parity = min(max(parityStripes, 0), StripeSet.parityStripesMax)
        deal(StripeSet.dataStripesMax..<StripeSet.dataStripesMax + parity, choice, previous) {
            places[places.count - 1 - ($0 - StripeSet.dataStripesMax) % places.count]
        }
        let keeps = previous?.turn == turn
        headersBy = choice.kept(keeps ? previous?.headersBy : nil) ?? choice.best(from: turn)
        guard let headersBy else { return }
        sumsBy =
            choice.kept(keeps && !movesSums ? previous?.sumsBy : nil, not: headersBy)
            ?? choice.best(from: (movesSums ? previous?.sumsBy ?? headersBy : headersBy) + 1, not: headersBy)
        headers[headersBy] = HeaderTerms(atOnce: true, sumEvery: sumsBy == nil ? sumEvery : 0)
        if let sumsBy { headers[sumsBy] = HeaderTerms(sumEvery: sumEvery) }
    }

    private mutating func deal(
        _ range: Range<Int>, _ choice: Choice, _ previous: StripePlan?, place: (Int) -> Int
    ) {
        var load = Array(repeating: 0, count: stripes.count)
        for stripe in range {
            let own = place(stripe)
            let before = previous.map { Int($0.owner[stripe]) } ?? -1
            let best = choice.best(from: own + 1) { load[$0] }
            // Whoever has it or could have it, if it is not the one whose turn it is.
            let other = choice.kept(before) ?? (before >= 0 ? best : nil)
            guard let chosen = choice.better(own, than: other) ?? other ?? best else { continue }
            stripes[chosen].insert(stripe)
            owner[stripe] = Int8(chosen)
            load[chosen] += 1
        }
    }

    /// Nothing is asked of this parent.
    func isIdle(_ parent: Int) -> Bool {
        stripes.indices.contains(parent) && stripes[parent].isEmpty && headers[parent].isEmpty
    }

    /// Somebody has something to give of whom nothing is heard, and others are.
    func isDoubtful(_ standings: [Standing]) -> Bool {
        let choice = Choice(standings)
        return standings.indices.contains {
            standings[$0] == .unheard && !choice.allows($0) && !(stripes[$0].isEmpty && headers[$0].isEmpty)
        }
    }
}

/// Whom stripes may be asked of: those who are heard, or any usable parent when none is.
private struct Choice {
    private let standings: [StripePlan.Standing]
    private let least: StripePlan.Standing

    init(_ standings: [StripePlan.Standing]) {
        self.standings = standings
        least = standings.contains { $0 >= .heard } ? .heard : .unheard
    }

    func allows(_ parent: Int) -> Bool { standings.indices.contains(parent) && standings[parent] >= least }

    func kept(_ parent: Int?, not other: Int? = nil) -> Int? {
        guard let parent, parent != other, allows(parent) else { return nil }
        return parent
    }

    /// `parent` if it may be asked and nothing speaks for the other.
    func better(_ parent: Int, than other: Int?) -> Int? {
        guard allows(parent) else { return nil }
        return other.map { standings[parent] >= standings[$0] } ?? true ? parent : nil
    }

    /// Of the parents of the best standing the least burdened, the first of them from `start` on.
    func best(from start: Int, not other: Int? = nil, load: (Int) -> Int = { _ in 0 }) -> Int? {
        var best: Int?
        for k in standings.indices {
            let i = (start + k) % standings.count
            if i == other || !allows(i) { continue }
            guard let held = best else {
                best = i
                continue
            }
            if standings[i] > standings[held] || standings[i] == standings[held] && load(i) < load(held) {
                best = i
            }
        }
        return best
    }
}
