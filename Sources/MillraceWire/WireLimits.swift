/// The bounds of everything on the wire, beside their arithmetic (Spec 10.5).

import MillraceBase

public enum WireLimits {
    /// What a session adds to a datagram: 8 bytes of header and the 16-byte tag.
    @inlinable public static var sessionBytes: Int { 24 }
    /// Frames of one datagram: 1,232 less the session's 24.
    @inlinable public static var framesBytesMax: Int { 1_232 - sessionBytes }
    /// A shred frame's bytes around its symbol: kind, height (a varint of at most 7 bytes, see `heightMax`), cadence,
    /// slice (a varint of at most 2 bytes) and stripe come to 12; the rest is room for what an issue may add.
    @inlinable public static var shredFrameBytes: Int { 18 }
    /// A symbol with its frame and its session fits one datagram: 1,232 − 24 − 18 = 1,190.
    @inlinable public static var symbolBytesMax: Int { framesBytesMax - shredFrameBytes }

    /// Stripes 0…31.
    public static let dataCountMax = 32
    /// Stripes 32…47.
    public static let parityCountMax = 16
    public static let shredCountMax = dataCountMax + parityCountMax
    @inlinable public static var firstParityStripe: Int { 32 }
    /// The longest parity window, in slices (Spec 40.6).
    @inlinable public static var windowSpanMax: Int { 16 }
    /// A slice of full symbols: 32 × 1,190 = 38,080 bytes.
    public static let sliceBytesMax = dataCountMax * symbolBytesMax
    /// Slices of one mini-block or window. The largest payload needs ⌈26,476,544 / 38,080⌉ = 696; the rest is room for
    /// symbols smaller than the largest.
    public static let sliceCountMax = 1_024

    /// Heights are below 2^48 (89,000 years of 10 ms), so that no arithmetic on them can overflow.
    public static let heightMax: UInt64 = 1 << 48 - 1
    /// Wall-clock stamps are below 2^56 µs (the year 4253), for the same reason.
    public static let microsecondsMax: UInt64 = 1 << 56 - 1

    /// The largest slice header: 124 fixed bytes, a commitment of 40, 48 shred hashes of 12 and a signature of 64.
    public static let sliceHeaderBytesMax = 124 + 40 + shredCountMax * 12 + 64
}
