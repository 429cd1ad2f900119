/// What a follower does with parity over a window of slices: brings back what it determines, and tells repair what neither
/// the parity in hand nor that on its way will (Spec 40.6, 60.6).
///
///     slice            n      n+1     n+2     n+3
///     lost             1       2       0       ·      not here, not asked for, not owed any more
///     parity           0       1       1       1      here or owed
///                      └───────┴───────┴───────┘ three unknowns, three equations: nothing to ask for
///
/// Groups: a run of slices that share unknowns. It begins with an incomplete slice before which all is complete (or at
/// least whose window's reach holds no other gap), and is solved as soon as it has as many equations as unknowns.
///
/// Bounds: at most `scanBackMax` slices before the one that something came for, and 15 after it.

import MillraceBase
import MillraceErasure
import MillraceWire

extension Following {
    static let scanBackMax = 47
    static let scanAheadMax = WireLimits.windowSpanMax - 1

    // MARK: Recovery

    /// Something came for `record`: solves the groups that are determined now.
    func recover(around record: SliceRecord, now: Instant) {
        if equations == 0 { return }
        var first = record
        for _ in 0..<Following.scanBackMax {
            guard let before = store.previous(of: first), before.key.firstHeight >= next else { break }
            first = before
        }
        var group: SliceRecord?
        var unknowns = 0
        var parity = 0
        var sinceGap = 0
        var ahead = -1
        var slice: SliceRecord? = first
        while let current = slice, ahead < Following.scanAheadMax {
            let missing = current.missingData.count
            if missing > 0 {
                if group == nil || sinceGap >= WireLimits.windowSpanMax {
                    (group, unknowns, parity) = (current, 0, 0)
                }
                unknowns += missing
                sinceGap = 0
            } else {
                sinceGap += 1
            }
            parity += current.have.parity.count
            if ahead >= 0 || current === record { ahead += 1 }
            if ahead >= 0, let start = group, unknowns > 0, parity >= unknowns,
                solve(from: start, through: current, now: now)
            {
                group = nil
            }
            if group == nil { (unknowns, parity) = (0, 0) }
            slice = store.next(of: current)
        }
    }

    /// Slices that a look at the oldest gap goes ahead: with more than that, and no sixteen whole ones among them, repair is
    /// what helps.
    static let oldestAheadMax = 128

    /// Solves the group of the oldest gap if it can be by now. What came last for it may have been a header far back, which is
    /// not looked at from where the stream is. Nothing is tried twice with the same equations.
    func recoverOldest(now: Instant) {
        guard equations > 0, let entry = store.entry(next), let start = entry.slices.first, let start else {
            return
        }
        let tried = Following.Tried(next: next, equations: equations, missing: start.missingData.count)
        if tried == lastTried { return }
        lastTried = tried
        var unknowns = 0
        var parity = 0
        var sinceGap = 0
        var slice: SliceRecord? = start
        for _ in 0..<Following.oldestAheadMax {
            guard let current = slice, sinceGap < WireLimits.windowSpanMax else { return }
            let missing = current.missingData.count
            sinceGap = missing > 0 ? 0 : sinceGap + 1
            unknowns += missing
            parity += current.have.parity.count
            if unknowns > LinearSystem.unknownsMax { return }
            if unknowns > 0, parity >= unknowns, solve(from: start, through: current, now: now) { return }
            slice = store.next(of: current)
        }
    }

    /// Whether the group from `first` to `last` could be solved; what it completes is finished.
    private func solve(from first: SliceRecord, through last: SliceRecord, now: Instant) -> Bool {
        var slices: [SliceAssembler] = []
        let known: Int
        if endpoint.payloads == .byReference, first.key.firstHeight == next, first.key.index == 0 {
            // It is enough to know that they are here.
            known = wholeRun
        } else {
            for before in store.window(before: first) {
                guard before.isComplete else { break }
                slices.append(before.assembler)
            }
            slices.reverse()
            known = slices.count
        }
        let before = slices.count
        var slice: SliceRecord? = first
        while let current = slice {
            slices.append(current.assembler)
            slice = current === last ? nil : store.next(of: current)
        }
        guard solver.solve(slices, from: before, known: known, payloads: endpoint.payloads) else {
            return false
        }
        slice = first
        while let current = slice {
            slice = current === last ? nil : store.next(of: current)
            if !current.isComplete { finish(current, now: now) }
        }
        return true
    }

    /// A relay makes what its children are owed and did not come: data at once, parity as soon as its window is whole.
    /// What its own parent is about to send is not made: that costs as much as everything else a relay does. When the
    /// next slice is complete and it has not come, it is lost; so this begins with the slice before.
    func recreate(from record: SliceRecord) {
        let wanted = stripesWanted().parity
        if wanted.isEmpty { return }
        var slice: SliceRecord? = store.previous(of: record) ?? record
        for _ in 0...WireLimits.windowSpanMax {
            guard let current = slice else { return }
            var missing = wanted.intersection(current.shreds).subtracting(current.have)
            if current.isComplete, !missing.isEmpty {
                missing = missing.subtracting(coming(missing, of: current))
            }
            if current.isComplete, !missing.isEmpty {
                let window = store.window(before: current).prefix { $0.isComplete }.map(\.assembler)
                _ = current.assembler.recreate(missing.bits, window: window[...])
                tellNew(of: current)
            }
            slice = store.next(of: current)
        }
    }

    /// Those that a parent owes and has not gone past.
    private func coming(_ stripes: StripeSet, of record: SliceRecord) -> StripeSet {
        if record.isBacklog { return .empty }
        var coming = StripeSet.empty
        var rest = stripes
        while let stripe = rest.popFirst() {
            let owner = Int(plan.owner[stripe])
            guard owner >= 0, parents[owner].isUsable else { continue }
            if StreamPosition(record.key, shred: stripe) > parents[owner].progress { coming.insert(stripe) }
        }
        return coming
    }

    /// Tells the owner of shreds it has not been told of.
    func tellNew(of record: SliceRecord) {
        let made = record.have.subtracting(record.told)
        if made.isEmpty { return }
        record.told = record.have
        onNews?(News(record: record, shreds: made))
    }

    // MARK: Shortage

    /// How many slices are balanced at once. What lies further ahead waits: the oldest gap blocks everything.
    static let balanceMax = 256
    /// Without a new header for so long, no more parity is coming.
    static let streamQuiet = Interval.milliseconds(40)

    /// A repair takes longer than a round trip (the next look at the gaps, the parent's turn, the answer's place in its queue):
    /// parity that comes so many slices later still comes first.
    static let slicesOfPatience = 2

    /// Sets `short` of every incomplete slice from the first gap on: how many of its lost data shreds have to be asked for.
    ///
    /// Each equation covers the nearest lost shreds in its window, its own slice's first. So what is left over lies in the oldest
    /// slices, which block the stream, and what remains to be solved falls into small groups; covering the oldest first
    /// would make one group of a long gap, solved when the last of it is here. What is left over may still be covered by
    /// parity to come within the time that asking would take; the rest is asked for, the oldest first.
    func balance(now: Instant) {
        var open: [(record: SliceRecord, lost: Int, place: Int)] = []
        late = parents.indices.reduce(0) { isLate($1, now: now) ? $0 | 1 << UInt64($1) : $0 }
        var place = 0
        var height = next
        // While heights are pulled no contract owes parity: what is lost is asked for.
        var isStreaming =
            takesStream && endHeight == nil && now - lastHeaderAt < Following.streamQuiet
        while height <= headerTip, place < Following.balanceMax {
            guard let entry = store.entry(height) else {
                // The chain is broken: parity beyond says nothing of what lies before, for lack of headers between.
                place += WireLimits.windowSpanMax
                height += 1
                continue
            }
            for record in entry.slices {
                place += 1
                guard let record else { continue }
                let (lost, equations) = account(of: record, now: now)
                record.short = lost
                if lost > 0 { open.append((record, lost, place)) }
                let span = Int(record.assembler.header.windowSpan)
                // Of slices before `next` only the last in a row are here: after a gap that came as a window, say, parity that
                // reaches further back determines nothing.
                if span - place <= wholeRun { cover(&open, by: equations, at: place, span: span) }
            }
            height = entry.lastHeight + 1
        }
        if height <= headerTip { isStreaming = false }
        if let oldest = open.first?.record, oldest.key.firstHeight == next, now - nextSince > patience() {
            oldest.short = oldest.lost.count
        }
        guard isStreaming, let oldest = open.first(where: { $0.lost > 0 && place - $0.place < 15 }) else {
            return
        }
        // Windows at the stream's beginning are shorter, and reach as far back as that.
        let span = Int(oldest.record.assembler.header.windowSpan)
        let isAllHere = span < WireLimits.windowSpanMax && span - oldest.place <= wholeRun
        var expected = parityToCome(
            slices: WireLimits.windowSpanMax - 1 - (place - oldest.place),
            after: isAllHere ? 0 : WireLimits.windowSpanMax - 1 - wholeRun - place, like: oldest.record)
        // The newest are left to parity: the oldest is asked for when something has to be.
        for gap in open.reversed() where gap.lost > 0 && !gap.record.isBacklog && place - gap.place < 15 {
            let covered = min(expected, gap.lost)
            gap.record.short -= covered
            expected -= covered
        }
    }

    /// How long the oldest gap may wait for parity that should suffice. It does not when a system is singular and nothing
    /// follows, or too large to be solved; then all of it is asked for.
    private func patience() -> Interval {
        max(roundTrip() * 3, .milliseconds(300))
    }

    /// The shortest to any parent in use.
    func roundTrip() -> Interval {
        var shortest = RoundTrip.timeoutMax
        for i in parents.indices where parents[i].isUsable {
            if let current = ask(i, { $0.roundTrip.current }) { shortest = min(shortest, current) }
        }
        return shortest
    }

    private func cover(
        _ open: inout [(record: SliceRecord, lost: Int, place: Int)], by equations: Int, at place: Int,
        span: Int
    ) {
        var rest = equations
        for i in open.indices.reversed() {
            if rest == 0 || place - open[i].place >= span { return }
            let covered = min(rest, open[i].lost)
            open[i].lost -= covered
            open[i].record.short -= covered
            rest -= covered
        }
    }

    /// Data shreds of a slice that are lost as far as can be told, and equations that are here or owed.
    private func account(of record: SliceRecord, now: Instant) -> (lost: Int, equations: Int) {
        let asked = askedBy[Int(record.key.firstHeight % SliceStore.heightsMax)]
        if record.isBacklog, let request = requests[asked], case .catchUp = request.kind {
            // Covered by a catch-up request whose answer has not passed it yet.
            let tolerance = peer(request.parent)?.roundTrip.reorderTolerance ?? .milliseconds(5)
            if request.progress <= record.key.firstHeight || now - record.lastShredAt < tolerance {
                return (0, 0)
            }
        }
        var owed = StripeSet.empty
        if !record.isBacklog, now - max(record.firstSeenAt, record.lastShredAt) < .milliseconds(500) {
            var rest = shredsBought(record).subtracting(record.have)
            while let stripe = rest.popFirst() {
                let owner = Int(plan.owner[stripe])
                guard owner >= 0, parents[owner].isUsable, late >> UInt64(owner) & 1 == 0 else { continue }
                if StreamPosition(record.key, shred: stripe) > parents[owner].passed { owed.insert(stripe) }
            }
        }
        record.lost = record.missingData.subtracting(record.inFlight).subtracting(owed)
        return (record.lost.count, record.have.parity.count + owed.parity.count)
    }

    /// Equations that the parity bought will bring over the next `slices` slices, or while a repair takes if that is shorter;
    /// that of the first `after` reaches too far back. What is lost meanwhile is not taken off: when it is lost, it raises the
    /// shortage itself.
    private func parityToCome(slices: Int, after: Int, like record: SliceRecord) -> Int {
        let header = record.assembler.header
        var bought = 0
        var rest = shredsBought(record).parity
        while let stripe = rest.popFirst() {
            let owner = Int(plan.owner[stripe])
            // A parent that has not yet answered gives nothing for a round trip, and one that says that the way is full leaves
            // parity out.
            if owner >= 0, parents[owner].isUsable, late >> UInt64(owner) & 1 == 0,
                parents[owner].acceptedSerial == parents[owner].serial,
                !(ask(owner) { $0.status.isFull } ?? false)
            {
                bought += 1
            }
        }
        if bought == 0 || slices <= 0 { return 0 }
        let perSlice = Limits.miniBlockInterval.nanoseconds / Int64(max(header.sliceCount, 1))
        let within = max(
            min(slices, Int(roundTrip().nanoseconds / max(perSlice, 1)) + Following.slicesOfPatience)
                - max(after, 0), 0)
        // Rounded up: what is asked for beside parity that comes all the same is waste.
        return (bought * (65_536 - parity.loss65536) * within + 65_535) / 65_536
    }
}
