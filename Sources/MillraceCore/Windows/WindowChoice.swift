/// Which windows a replica takes where its line is slow, not known, or has the contract beside it (Spec 60.13, rule 6): the
/// largest that begins where it stands and is over, and what it waits for. Asked by `WindowFollowing` at every plan.
///
/// Where the line is fast, `WindowRoute` decides.

import MillraceBase
import MillraceWire

extension WindowFollowing {
    /// Whose window the state waits for at `start`, though it is not here.
    func waitedFor(at start: UInt64, _ tip: UInt64) -> Cadence? {
        guard control.mode == .steps else { return nil }
        guard let told = control.told else { return worthWaiting(at: start, tip) }
        return start % told.heights == 0 && !isMissed(told, at: start, finally: true) ? told : nil
    }

    func isMissed(_ cadence: Cadence, at start: UInt64, finally: Bool) -> Bool {
        missed.contains { $0.cadence == cadence && $0.first == start + 1 && ($0.isFinal || !finally) }
    }

    /// A window told by values that is not over yet and will still be here before the finer ones it is made of: where the line
    /// is too slow for these. Then the state stays at its start. The finer ones come meanwhile, in case the line is better than
    /// it was.
    func worthWaiting(at start: UInt64, _ tip: UInt64) -> Cadence? {
        guard start % Cadence.quarter.heights == 0, control.bytesPerSecond > 0,
            !control.isFast(now: endpoint.now),
            var finer = latestBytes[Int(Cadence.c2.rawValue)].map({ $0 * 5 / 2 })
        else { return nil }
        var worth: Cadence?
        for cadence in [Cadence.quarter, .half, .c3] where start % cadence.heights == 0 {
            // Not seen yet: about three quarters of the finer ones.
            let bytes = latestBytes[Int(cadence.rawValue)] ?? finer * 3 / 4
            let last = start + cadence.heights
            if last > tip {
                let wait = (last - tip) * UInt64(Limits.miniBlockInterval.milliseconds)
                if wait + control.milliseconds(for: bytes) < control.milliseconds(for: finer) {
                    worth = cadence
                }
            }
            finer = bytes * 2
        }
        return worth
    }

    func isSoonOver(coarserThan cadence: Cadence, from at: UInt64, _ tip: UInt64) -> Bool {
        if control.mode == .follows || control.told != nil { return false }
        for coarser in [Cadence.quarter, .half, .c3] where coarser > cadence && at % coarser.heights == 0 {
            let last = at + coarser.heights
            if last > tip, last <= tip + WindowFollowing.soonMax { return true }
        }
        return false
    }

    /// So much of a window is here that it is the shorter way, though one of twice its length has come to its end.
    func isMostlyHere(_ cadence: Cadence, at start: UInt64) -> Bool {
        guard let entry = store.entry(cadence, start + 1), let header = entry.firstHeader else {
            return false
        }
        return shredsHere(entry) * 3 >= entry.slices.count * Int(header.dataCount)
    }

    /// The largest window that begins after `at`, is over by `tip`, and does not lie where the contract delivers.
    func window(from at: UInt64, through tip: UInt64) -> (Cadence, last: UInt64)? {
        let told = control.mode == .steps ? control.told : nil
        for cadence in WindowMaker.cadences.reversed()
        where at % cadence.heights == 0 && cadence <= told ?? .c3 {
            let last = at + cadence.heights
            if last <= tip, told != nil || isUseful(cadence, from: at),
                !isMissed(cadence, at: at, finally: false)
            {
                if let finer = WindowRoute.half(of: cadence), isMostlyHere(finer, at: at) {
                    return (finer, at + finer.heights)
                }
                return (cadence, last)
            }
            if cadence == told, !isMissed(cadence, at: at, finally: true) { return nil }
        }
        return nil
    }

    func isUseful(_ cadence: Cadence, from at: UInt64) -> Bool {
        switch control.mode {
        // Half of it would come by contract anyway.
        case .follows:
            (following.liveFrom == .max || at + cadence.heights / 2 <= following.liveFrom)
                && (cadence != .c2 || isQuick(.c2, from: at))
        // Tenths of a second cost nearly what mini-blocks cost: on a slow line they only lead to the next whole one. On a fast
        // one the processor is what counts: while it applies a whole second, nothing is asked for.
        case .steps:
            switch cadence {
            case .c0, .quarter, .half, .c3: true
            case .c2: isQuick(.c2, from: at)
            case .c1: control.isTakenForFast(now: endpoint.now) || at % Cadence.c2.heights != 0
            }
        }
    }

    /// The line takes longer than the processor, or it has begun to come.
    func isQuick(_ cadence: Cadence, from at: UInt64) -> Bool {
        !control.isTakenForFast(now: endpoint.now) || store.entry(cadence, at + 1) != nil
    }

    /// The window's slices that are not complete; until a header says how many there are, as many as it surely has.
    func want(_ cadence: Cadence, _ first: UInt64, _ keys: inout [SliceKey], atMost limit: Int) {
        guard let entry = store.entry(cadence, first) else {
            for index in 0..<guessedSlices(cadence) where keys.count < limit {
                keys.append(SliceKey(firstHeight: first, cadence: cadence, index: UInt16(index)))
            }
            return
        }
        if entry.isComplete { return }
        for index in entry.slices.indices where entry.slices[index]?.isComplete != true {
            if keys.count >= limit { return }
            keys.append(SliceKey(firstHeight: first, cadence: cadence, index: UInt16(index)))
        }
    }

    func guessedSlices(_ cadence: Cadence) -> Int {
        let latest = latestSlices[Int(cadence.rawValue)]
        if latest > 1 { return latest - 1 }
        // A third of what its mini-blocks take: no window was ever smaller at a full stream.
        let bytes = min(control.bytesPerHeight256 * cadence.heights / 256 / 3, UInt64(Limits.payloadBytesMax))
        return max(Int(bytes) / WireLimits.sliceBytesMax, 1)
    }
}
