/// How often a key has changed lately, in 16 bits and as one of 35 classes (Spec 30.5.1).
///
///     bits 0…9     windows of 100 ms of the current second in which it changed
///     bits 10…15   the six seconds before, newest lowest
///
/// Only whole windows and whole seconds count, so a follower of any cadence arrives at the same classes at the boundaries
/// of its windows: who applies 100 ms windows knows the bits of windows, who applies seconds knows those of seconds.
///
/// Classes need no order among them: each is a list of ids with a density of its own, and the gaps in it are coded by that
/// density.

enum ActivityClass {
    static var windowBits: UInt16 { 10 }
    static var windowMask: UInt16 { (1 << 10) - 1 }
    static var secondMask: UInt16 { (1 << 6) - 1 }
    /// Never changed within reach.
    static var cold: Int { 0 }
    static var count: Int { ModelMap.classCount }

    /// At the end of a second its windows become one bit.
    @inline(__always)
    static func endingSecond(_ history: UInt16) -> UInt16 {
        let changed: UInt16 = history & windowMask != 0 ? 1 : 0
        return (((history >> windowBits) << 1 | changed) & secondMask) << windowBits
    }

    /// The class of every history: popcounts 0, 1, 2, 3, 4–5, 6–7, 8–10 of windows × 0, 1, 2–3, 4–5, 6 of seconds.
    static func makeTable() -> UnsafeMutablePointer<UInt8> {
        let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)
        let ofWindows: [UInt8] = [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6]
        let ofSeconds: [UInt8] = [0, 1, 2, 2, 3, 3, 4]
        for history in 0..<(1 << 16) {
            let windows = (history & 0x3FF).nonzeroBitCount
            let seconds = (history >> 10).nonzeroBitCount
            (table + history).initialize(to: ofWindows[windows] * 5 + ofSeconds[seconds])
        }
        return table
    }
}
