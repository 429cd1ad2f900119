/// Time inside Millrace: integer nanoseconds, handed in by the shell.
///
/// Three clocks never mix: `Instant` is monotonic and has no meaning outside one process (or one simulated node);
/// the sequencer's wall-clock stamp is a plain `UInt64` of Unix microseconds (`sealedAtMicroseconds`); a height counts
/// mini-blocks.

/// A point on the monotonic clock of one node. Arithmetic saturates: no input can make it trap.
public struct Instant: Hashable, Comparable, Sendable, BitwiseCopyable {
    public var nanoseconds: UInt64

    @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    // Computed, here and below: a stored constant is a call in another module.
    @inlinable public static var zero: Instant { Instant(nanoseconds: 0) }
    @inlinable public static var distantFuture: Instant { Instant(nanoseconds: .max) }

    @inlinable public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    @inlinable public static func + (a: Instant, b: Interval) -> Instant {
        if b.nanoseconds >= 0 {
            let (sum, over) = a.nanoseconds.addingReportingOverflow(UInt64(b.nanoseconds))
            return Instant(nanoseconds: over ? .max : sum)
        }
        let magnitude = b.nanoseconds.magnitude
        return Instant(nanoseconds: a.nanoseconds >= magnitude ? a.nanoseconds - magnitude : 0)
    }

    @inlinable public static func - (a: Instant, b: Interval) -> Instant {
        a + Interval(nanoseconds: b.nanoseconds == .min ? .max : -b.nanoseconds)
    }

    /// The time from `b` to `a`; negative when `a` is earlier.
    @inlinable public static func - (a: Instant, b: Instant) -> Interval {
        if a.nanoseconds >= b.nanoseconds {
            return Interval(nanoseconds: Int64(clamping: a.nanoseconds - b.nanoseconds))
        }
        return Interval(nanoseconds: -Int64(clamping: b.nanoseconds - a.nanoseconds))
    }
}

/// A length of time in nanoseconds; may be negative. Arithmetic saturates.
public struct Interval: Hashable, Comparable, Sendable, BitwiseCopyable {
    public var nanoseconds: Int64

    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    @inlinable public static var zero: Interval { Interval(nanoseconds: 0) }

    @inlinable public static func nanoseconds(_ n: Int64) -> Interval { Interval(nanoseconds: n) }
    @inlinable public static func microseconds(_ n: Int64) -> Interval { scaled(n, 1_000) }
    @inlinable public static func milliseconds(_ n: Int64) -> Interval { scaled(n, 1_000_000) }
    @inlinable public static func seconds(_ n: Int64) -> Interval { scaled(n, 1_000_000_000) }

    @inlinable public var microseconds: Int64 { nanoseconds / 1_000 }
    @inlinable public var milliseconds: Int64 { nanoseconds / 1_000_000 }
    /// For reports only; protocol arithmetic stays in integers.
    @inlinable public var asMilliseconds: Double { Double(nanoseconds) / 1e6 }
    @inlinable public var asSeconds: Double { Double(nanoseconds) / 1e9 }

    @inlinable public static func < (a: Interval, b: Interval) -> Bool { a.nanoseconds < b.nanoseconds }

    @inlinable public static func + (a: Interval, b: Interval) -> Interval {
        let (sum, over) = a.nanoseconds.addingReportingOverflow(b.nanoseconds)
        return Interval(nanoseconds: over ? (b.nanoseconds < 0 ? .min : .max) : sum)
    }

    @inlinable public static func - (a: Interval, b: Interval) -> Interval {
        let (difference, over) = a.nanoseconds.subtractingReportingOverflow(b.nanoseconds)
        return Interval(nanoseconds: over ? (b.nanoseconds < 0 ? .max : .min) : difference)
    }

    @inlinable public static func * (a: Interval, b: Int64) -> Interval { scaled(a.nanoseconds, b) }

    @inlinable static func scaled(_ n: Int64, _ factor: Int64) -> Interval {
        let (product, over) = n.multipliedReportingOverflow(by: factor)
        return Interval(nanoseconds: over ? ((n < 0) != (factor < 0) ? .min : .max) : product)
    }
}
