/// A set of stripes of one slice, or of shreds: stripe and shred index are the same number. Data shreds are 0…31,
/// parity shreds 32…47. One word, so that sets are united, counted and sent without a loop.
public struct StripeSet: Hashable, Sendable, BitwiseCopyable {
    /// Bit `i` says that stripe `i` is in the set. Bits 48…63 are zero.
    public var bits: UInt64

    @inlinable public static var stripesMax: Int { 48 }
    @inlinable public static var dataStripesMax: Int { 32 }
    @inlinable public static var parityStripesMax: Int { 16 }

    /// Bits above 47 are dropped.
    @inlinable public init(bits: UInt64) { self.bits = bits & 0xFFFF_FFFF_FFFF }

    @inlinable public static var empty: StripeSet { StripeSet(bits: 0) }
    @inlinable public static var all: StripeSet { StripeSet(bits: .max) }
    @inlinable public static var allData: StripeSet { StripeSet(bits: 0xFFFF_FFFF) }
    @inlinable public static var allParity: StripeSet { StripeSet(bits: 0xFFFF_0000_0000) }

    /// The shreds a slice of `dataCount` data and `parityCount` parity shreds has. Counts above the maxima are clamped.
    @inlinable public static func shreds(dataCount: Int, parityCount: Int) -> StripeSet {
        let data = UInt64(1) << UInt64(min(max(dataCount, 0), dataStripesMax)) &- 1
        let parity = UInt64(1) << UInt64(min(max(parityCount, 0), parityStripesMax)) &- 1
        return StripeSet(bits: data | parity << 32)
    }

    /// What a contract that spares parity is for, of a slice of `dataCount` data shreds: these, and a third as many parity
    /// shreds, rounded up (Spec 60.4, rule 9).
    @inlinable public static func sparing(dataCount: Int) -> StripeSet {
        shreds(dataCount: dataStripesMax, parityCount: sparedParity(dataCount: dataCount))
    }

    /// Parity shreds of a slice of so many data shreds where parity is spared.
    @inlinable public static func sparedParity(dataCount: Int) -> Int {
        (min(max(dataCount, 0), dataStripesMax) + 2) / 3
    }

    @inlinable public var isEmpty: Bool { bits == 0 }
    @inlinable public var count: Int { bits.nonzeroBitCount }
    /// The lowest stripe in the set; nil when it is empty.
    @inlinable public var first: Int? { bits == 0 ? nil : bits.trailingZeroBitCount }
    /// The highest stripe in the set; nil when it is empty.
    @inlinable public var last: Int? { bits == 0 ? nil : 63 - bits.leadingZeroBitCount }

    @inlinable public func contains(_ index: Int) -> Bool {
        index >= 0 && index < StripeSet.stripesMax && bits >> UInt64(index) & 1 == 1
    }

    @inlinable public mutating func insert(_ index: Int) {
        if index >= 0, index < StripeSet.stripesMax { bits |= 1 << UInt64(index) }
    }

    @inlinable public mutating func remove(_ index: Int) {
        if index >= 0, index < StripeSet.stripesMax { bits &= ~(1 << UInt64(index)) }
    }

    /// Takes the lowest stripe out.
    @inlinable public mutating func popFirst() -> Int? {
        guard bits != 0 else { return nil }
        let index = bits.trailingZeroBitCount
        bits &= bits &- 1
        return index
    }

    /// The `count` lowest members.
    public func prefix(_ count: Int) -> StripeSet {
        var rest = self
        var taken = StripeSet.empty
        for _ in 0..<max(count, 0) {
            guard let index = rest.popFirst() else { break }
            taken.insert(index)
        }
        return taken
    }

    @inlinable public func union(_ other: StripeSet) -> StripeSet { StripeSet(bits: bits | other.bits) }
    @inlinable public func intersection(_ other: StripeSet) -> StripeSet {
        StripeSet(bits: bits & other.bits)
    }
    @inlinable public func subtracting(_ other: StripeSet) -> StripeSet {
        StripeSet(bits: bits & ~other.bits)
    }
    @inlinable public var data: StripeSet { intersection(.allData) }
    @inlinable public var parity: StripeSet { intersection(.allParity) }
}
