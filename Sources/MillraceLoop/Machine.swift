import CMillraceShims
public import MillraceBase

/// The clocks and the randomness of this machine: what a shell hands to a core, which may not ask for them itself.
public enum Machine {
    /// Now, on the monotonic clock.
    @inline(__always)
    public static var now: Instant { Instant(nanoseconds: mr_monotonic_ns()) }

    /// Microseconds since 1970 by the wall clock; may jump.
    public static var wallMicroseconds: UInt64 { mr_wall_us() }

    /// CPU time this process has used so far, user and system.
    public static var cpuTime: Interval { .nanoseconds(Int64(clamping: mr_process_cpu_ns())) }

    /// 32 bytes of the kernel's randomness: the seed of a core that is not under test. Traps when the kernel gives none,
    /// since no key made without it would be worth having.
    public static func randomSeed() -> Seed {
        var word = U256.zero
        let status = withUnsafeMutableBytes(of: &word) { mr_random($0.baseAddress, $0.count) }
        precondition(status == 0, "getrandom failed with errno \(-status)")
        return Seed(word: word)
    }
}
