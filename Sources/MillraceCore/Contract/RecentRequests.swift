/// The latest requests of a child for slices of windows: one that comes twice is answered once (Spec 60.13, rule 2).
///
/// A child on a line that loses datagrams repeats what it asks, since an answer is a hundred times as long as a request. Numbers
/// come again after 128 requests, of which this parent may have had every other, so the slice counts too. Bounds: `keptMax`, of
/// which the oldest gives way; a repetition comes 8 ms behind.

import MillraceWire

struct RecentRequests {
    static let keptMax = 32

    private var kept: [(number: UInt16, key: SliceKey)] = []
    private var oldest = 0

    /// Notes a request. False if it was here lately.
    mutating func isNew(_ number: UInt16, _ key: SliceKey) -> Bool {
        if kept.contains(where: { $0.number == number && $0.key == key }) { return false }
        if kept.count < RecentRequests.keptMax {
            kept.append((number, key))
        } else {
            kept[oldest] = (number, key)
            oldest = (oldest + 1) % RecentRequests.keptMax
        }
        return true
    }
}
