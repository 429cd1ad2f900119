/// Where cold ids lie in the numbering that payloads name them in.
///
/// On the wire that is the id itself. A measurement of a short stream may instead ask what the stream would cost on a large
/// chain: the keys that existed before it then lie spread over a numbering as large as that chain's, each at a place of its
/// own within its share, as the keys a stream touches lie among those it does not.

public struct IDSpread: Sendable, Hashable {
    /// The first `known` ids share `universe` places; ids after them follow one by one.
    public let known: Int
    public let universe: Int
    @usableFromInline let stride: Int

    /// Every id at its own place.
    public static let none = IDSpread(known: 0, universe: 0)

    /// `universe` is raised to `known` where it is less; at most 2^40.
    public init(known: Int, universe: Int) {
        self.known = max(known, 0)
        self.universe = min(max(universe, self.known), 1 << 40)
        stride = self.known == 0 ? 1 : self.universe / self.known
    }

    /// The places of `count` ids.
    @inlinable public func places(_ count: Int) -> Int {
        known == 0 ? count : count <= known ? count &* stride : universe &+ (count &- known)
    }

    @inlinable public func place(of id: Int) -> Int {
        if known == 0 { return id }
        if id >= known { return universe &+ (id &- known) }
        return id &* stride &+ offset(id)
    }

    /// Nil for a place between those of ids.
    @inlinable public func id(at place: Int) -> Int? {
        if known == 0 { return place }
        if place >= universe { return known &+ (place &- universe) }
        let id = place / stride
        return id < known && place &- id &* stride == offset(id) ? id : nil
    }

    @usableFromInline func offset(_ id: Int) -> Int {
        let mixed = UInt64(truncatingIfNeeded: id) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: (mixed ^ mixed >> 29) >> 20) % stride
    }
}
