/// What a follower leaves to windows of coarser cadences, and how it lets go of its contracts and takes them again (Spec 60.13).
///
/// Asked by `WindowFollowing`, which decides.

import MillraceBase
import MillraceWire

extension Following {
    enum WindowService {
        case served
        case unserved
        /// No parent is connected, or none has told yet.
        case unknown
    }

    /// Whether any parent says that windows may be asked of it.
    var windowService: WindowService {
        var told = WindowService.unknown
        for i in parents.indices where parents[i].isParent {
            guard let status = peer(i)?.status, status != StreamStatus() else { continue }
            if status.servesWindows { return .served }
            told = .unserved
        }
        return told
    }

    /// Whether windows may be asked of this parent.
    func servesWindows(_ parent: Int) -> Bool {
        parents[parent].isParent && peer(parent)?.status.servesWindows ?? false
    }

    /// A header so far ahead of the last is the contract's first after a gap, not one that overtook.
    static let liveGap: UInt64 = 20

    /// Holds contracts for c0, or lets go of them.
    func setSubscribed(_ isSubscribed: Bool, now: Instant) {
        if self.isSubscribed == isSubscribed { return }
        self.isSubscribed = isSubscribed
        if isSubscribed { liveFrom = .max }
        // Without contracts there is nothing to be pulled instead.
        liveAgain(now: now)
        replan(now: now)
    }

    /// Heights `byWindows` and those above `limit` are not asked for.
    func leave(_ byWindows: (first: UInt64, last: UInt64)?, limit: UInt64) {
        self.byWindows = byWindows
        gapLimit = limit
    }

    /// A window was applied: everything up to `height` is behind us.
    func pass(through height: UInt64, now: Instant) {
        guard height >= next else { return }
        next = height + 1
        wholeRun = 0
        nextSince = now
        early.dropBelow(next)
        advance(now: now)
    }

    /// Where a relay begins that sees its first header: a little before it, if a parent still holds that. Otherwise what was
    /// lost in front of the first header would be lost to all its children.
    func joinHeight(_ first: UInt64) -> UInt64 {
        var floor = first
        for i in parents.indices where parents[i].isParent {
            // A parent that has told of no floor yet had nothing when it last spoke: it holds all that came since.
            if let status = peer(i)?.status { floor = min(floor, max(status.floor, 1)) }
        }
        let wanted = first > Following.joinHeightsMax ? first - Following.joinHeightsMax : 1
        let begin = max(floor, wanted)
        return store.lowerFloor(to: begin) ? begin : first
    }

    /// A second of stream.
    static let joinHeightsMax: UInt64 = 100

    /// Notes what each parent owes of a new slice.
    func owe(_ record: SliceRecord, now: Instant) {
        for i in parents.indices where parents[i].isUsable {
            let owed = parents[i].stripes.intersection(record.shreds.data).count
            if owed == 0 || now < parents[i].graceUntil { continue }
            parents[i].owedSlices += 1
            parents[i].owedShreds += owed
            if parents[i].owedSince == nil { parents[i].owedSince = now }
        }
    }
}
