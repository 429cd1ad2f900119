/// How often a key was patched since the last restart, in ten bits and as one of eleven classes (Spec 30.5.1).
///
///     bit n   the n-th payload since the restart patched it (0…9)
///
/// Classes need no order among them: each is a list of ids with a density of its own, and the gaps in it are coded by that
/// density.

enum ActivityClass {
    /// Not patched since the restart.
    static var cold: Int { 0 }
    static var count: Int { ModelMap.classCount }

    /// 1 + 2 × (0, 1, 2, 3, 4 for 1, 2, 3, 4–5, 6–10 payloads), and one more for a key of the last payload. `last` is the
    /// bit of that payload, `history` not 0.
    @inline(__always)
    static func of(_ history: UInt16, last: UInt16) -> Int {
        // Four bits for each number of payloads.
        let groups: UInt64 = 0x444_4433_2100
        let group = (groups >> UInt64(truncatingIfNeeded: history.nonzeroBitCount &* 4)) & 0xF
        return 1 &+ Int(truncatingIfNeeded: group) &* 2 &+ (history & last != 0 ? 1 : 0)
    }
}
