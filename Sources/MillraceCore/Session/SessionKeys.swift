/// One pair of transport keys: what a connection id stands for. A session has up to three: the current one, the one before it
/// (for datagrams still under way) and the one a rekey has made but nobody has used yet.

import MillraceBase
import MillraceCrypto

struct SessionKeys: BitwiseCopyable {
    enum State: UInt8, BitwiseCopyable {
        case free
        /// The connection id is promised to a handshake; there are no keys yet.
        case promised
        case live
    }

    var state = State.free
    /// What the peer writes in front of datagrams to us: the place in its low half, a tag in its high half that is never
    /// zero, so that ids and handshake types cannot be confused.
    var localID: UInt32 = 0
    var remoteID: UInt32 = 0
    /// Whose these are.
    var slot: UInt32 = 0
    var nextCounter: UInt64 = 0
    var window = ReplayWindow()
    var createdAt = Instant.zero
    var isInitiator = false
    var sending = SealingKey(.zero)
    var receiving = SealingKey(.zero)
}

/// All keys of a table, by place. Grows only when a handshake begins.
struct SessionKeyStore {
    /// The place is the low half of a connection id.
    static let placesMax = 1 << 16

    private(set) var keys: [SessionKeys] = []
    private var bits: [UInt64] = []
    private var freePlaces: [Int] = []

    subscript(place: Int) -> SessionKeys {
        get { keys[place] }
        _modify { yield &keys[place] }
    }

    /// The place that `id` names, or nil when nobody has that id.
    func place(of id: UInt32) -> Int? {
        let place = Int(id & 0xFFFF)
        guard id >= 1 << 16, place < keys.count, keys[place].localID == id else { return nil }
        return place
    }

    /// A promised connection id for `slot`; nil when all are taken.
    mutating func promise(slot: Int, secrets: inout SecretStream) -> Int? {
        let place: Int
        if let free = freePlaces.popLast() {
            place = free
        } else {
            guard keys.count < Self.placesMax else { return nil }
            place = keys.count
            keys.append(SessionKeys())
            bits.append(contentsOf: repeatElement(0, count: ReplayWindow.words))
        }
        var entry = SessionKeys()
        entry.state = .promised
        entry.slot = UInt32(slot)
        let tag = 1 + UInt32(secrets.next() % 0xFFFF)
        entry.localID = tag << 16 | UInt32(place)
        keys[place] = entry
        for word in 0..<ReplayWindow.words { bits[place * ReplayWindow.words + word] = 0 }
        return place
    }

    mutating func release(_ place: Int) {
        guard keys[place].state != .free else { return }
        keys[place] = SessionKeys()
        freePlaces.append(place)
    }

    func isNew(_ counter: UInt64, at place: Int) -> Bool {
        bits.withUnsafeBufferPointer { bits in
            guard let base = bits.baseAddress else { return false }
            return keys[place].window.isNew(counter, bits: base + place * ReplayWindow.words)
        }
    }

    /// Notes `counter`; true when it is the greatest so far.
    mutating func mark(_ counter: UInt64, at place: Int) -> Bool {
        bits.withUnsafeMutableBufferPointer { bits in
            guard let base = bits.baseAddress else { return false }
            return keys[place].window.mark(counter, bits: base + place * ReplayWindow.words)
        }
    }
}

/// Which datagram of which keys: never the same twice.
struct DatagramNumber: BitwiseCopyable {
    /// The receiver's connection id.
    var key: UInt32 = 0
    var counter: UInt64 = 0
}
