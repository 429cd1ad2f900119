/// Frames: what a session's datagram carries once it is decrypted (Spec 60.2). A datagram holds one or more frames, one
/// behind the other, each a type byte and fields whose lengths are known from the bytes before them.
///
/// A parsed `Frame` is a small trivial value. The variable part (a symbol, a slice header) stays where it is: the frame
/// holds its byte range in the datagram, and the caller slices its own buffer. Nothing is copied, nothing allocated.
///
/// Parsing is total: any bytes give frames, then the end or a `FrameError`. An error ends the datagram (frames before it
/// have been given out already) and is an offence of the peer, because a session's datagrams are authenticated.

public import MillraceBase

/// Why a frame could not be parsed. Ordered by depth: a later kind means that the earlier checks passed.
public enum FrameError: Error, Equatable, Sendable, BitwiseCopyable {
    /// The datagram ended inside a frame.
    case truncated
    /// A varint is not minimal or longer than its type.
    case malformed
    /// No frame has this type byte.
    case unknownType(UInt8)
    /// A field is outside its table's constraint.
    case outOfRange
}

/// Why a parent does not serve a child.
public enum RefusalReason: UInt8, Sendable, BitwiseCopyable {
    /// It has as many children as it may have.
    case full = 0
    /// It does not carry this cadence.
    case cadence = 1
    /// It has no stream itself yet.
    case notReady = 2
    /// It has punished this child.
    case banned = 3
    /// Its line up has no room for what is asked.
    case uplink = 4
}

/// Why a peer ends a session.
public enum CloseCode: UInt16, Sendable, BitwiseCopyable {
    case shuttingDown = 0
    case malformedFrame = 1
    case invalidShreds = 2
    case unexpectedFrame = 3
    case other = 0xFFFF
}

/// What a node holds, and where the stream stands as far as it knows (the have-map).
public struct StreamStatus: Hashable, Sendable, BitwiseCopyable {
    /// The highest height of which the node has seen a header.
    public var tip: UInt64
    /// Every height from `floor` to here is held complete. Zero: none.
    public var completeThrough: UInt64
    /// The lowest height still held.
    public var floor: UInt64
    /// Shreds this node did not send its peer because the peer's queue was full.
    public var dropped: UInt64
    /// The stream has ended at `tip`.
    public var ended: Bool
    /// Windows of coarser cadences may be asked for (Spec 60.13).
    public var servesWindows: Bool
    /// The way to the receiver is full: a queue stands in front of it, or what the contract owes waits (Spec 55.6).
    public var isFull: Bool
    @inlinable public init(
        tip: UInt64 = 0, completeThrough: UInt64 = 0, floor: UInt64 = 0, dropped: UInt64 = 0,
        ended: Bool = false, servesWindows: Bool = false, isFull: Bool = false
    ) {
        self.tip = tip
        self.completeThrough = completeThrough
        self.floor = floor
        self.dropped = dropped
        self.ended = ended
        self.servesWindows = servesWindows
        self.isFull = isFull
    }
}

/// What a contract has of slice headers: each as soon as it is there, and sums of the last sixteen (`HeaderSum`), after every
/// slice or after every second or fourth. What takes a header in a burst of losses seldom takes the sums that follow it.
public struct HeaderTerms: Hashable, Sendable, BitwiseCopyable {
    public var atOnce: Bool
    /// A sum with every so many slices: 1, 2 or 4; none with 0.
    public private(set) var sumEvery: UInt8

    /// Any `sumEvery` but 1, 2 and 4 means none.
    public init(atOnce: Bool = false, sumEvery: UInt8 = 0) {
        self.atOnce = atOnce
        self.sumEvery = sumEvery <= 2 || sumEvery == 4 ? sumEvery : 0
    }

    public static let none = HeaderTerms()
    @inlinable public var isEmpty: Bool { !atOnce && sumEvery == 0 }

    /// The lower flags of SUBSCRIBE: bit 0 at once, bits 1 and 2 the sums.
    var flags: UInt8 { (atOnce ? 1 : 0) | (sumEvery == 4 ? 3 : sumEvery) << 1 }
    init(flags: UInt8) {
        self.init(atOnce: flags & 1 == 1, sumEvery: flags >> 1 & 3 == 3 ? 4 : flags >> 1 & 3)
    }
}

/// A contract as asked for or granted: which stripes of which cadence, with or without slice headers, for how long, and
/// how fast the child wants to be sent to.
public struct ContractTerms: Hashable, Sendable, BitwiseCopyable {
    /// Grows with every change the child makes; a message with an older serial is ignored.
    public var serial: UInt32
    public var cadence: Cadence
    public var stripes: StripeSet
    public var headers: HeaderTerms
    public var leaseMilliseconds: UInt32
    /// What the child's link can spare for this parent; 0 when the child does not know.
    public var budgetKilobitsPerSecond: UInt32
    /// Of the parity stripes only those are wanted that a slice of its size has by `StripeSet.sparing`: from a child that does
    /// not know yet how large slices are.
    public var sparesParity: Bool
    @inlinable public init(
        serial: UInt32, cadence: Cadence = .c0, stripes: StripeSet, headers: HeaderTerms,
        leaseMilliseconds: UInt32,
        budgetKilobitsPerSecond: UInt32 = 0, sparesParity: Bool = false
    ) {
        self.serial = serial
        self.cadence = cadence
        self.stripes = stripes
        self.headers = headers
        self.leaseMilliseconds = leaseMilliseconds
        self.budgetKilobitsPerSecond = budgetKilobitsPerSecond
        self.sparesParity = sparesParity
    }

    /// Bits 0 to 2 are the headers', bit 3 says that parity is spared.
    var flags: UInt8 { headers.flags | (sparesParity ? 8 : 0) }
    static let flagsMax: UInt8 = 15
}

/// One alternative parent in a refusal: where it is and who it is.
public struct AlternativePeer: Hashable, Sendable, BitwiseCopyable {
    public var key: Hash32
    public var address: PeerAddress
    @inlinable public init(key: Hash32, address: PeerAddress) {
        self.key = key
        self.address = address
    }
}

/// Where a frame's variable part lies in its datagram. (`Range` is not bitwise copyable.)
public struct ByteRange: Hashable, Sendable, BitwiseCopyable {
    public var start: Int
    public var count: Int
    @inlinable public init(start: Int, count: Int) {
        self.start = start
        self.count = count
    }
    @inlinable public var end: Int { start + count }
    @inlinable public var range: Range<Int> { start..<(start + count) }
}

public enum Frame: Hashable, Sendable, BitwiseCopyable {
    /// A signed slice header; the range is its bytes in the datagram.
    case header(ByteRange)
    /// A combination of signed slice headers: `HeaderSum.decode` reads the range.
    case headerSum(ByteRange)
    /// One shred. `request` is nil when it is sent by contract, the request's number when it answers one.
    case shred(SliceKey, index: Int, symbol: ByteRange, request: UInt16?)
    case subscribe(ContractTerms)
    case accept(ContractTerms)
    /// The range holds `count` alternatives of `FrameLimits.alternativeBytes` each: see `FrameReader.alternatives`.
    case refuse(
        serial: UInt32, cadence: Cadence, RefusalReason, retryAfterMilliseconds: UInt32,
        alternatives: ByteRange)
    case unsubscribe(serial: UInt32, cadence: Cadence)
    /// Send these shreds (and the header, if asked): numbered, so that answers are told apart.
    case repair(request: UInt16, SliceKey, StripeSet, withHeader: Bool)
    /// These shreds of that request (or the header) are not here.
    case miss(request: UInt16, StripeSet, header: Bool)
    /// Send headers and data shreds of `count` heights from `first` on.
    case catchUp(request: UInt16, cadence: Cadence, first: UInt64, count: Int)
    case status(StreamStatus)
    case ping(UInt32)
    case pong(UInt32)
    case close(CloseCode)
    /// The sender's own peer record; the range is its bytes (Spec 65.3).
    case record(ByteRange)
    /// Send up to `count` peer records of others.
    case getPeers(request: UInt16, count: Int)
    /// `count` peer records, one behind the other, in the range: see `PeerRecord.decodeAll`.
    case peers(request: UInt16, count: Int, records: ByteRange)
    /// How far the sender is from the sequencer (nil: it has no stream) and how many more children it would take.
    case place(hops: UInt8?, childrenFree: UInt16)
    /// A proof that the sequencer signed two histories: `EquivocationProof.decode` reads the range (Spec 67.2).
    case evidence(ByteRange)
    /// What came of the datagrams sent (Spec 55.3).
    case feedback(LinkFeedback)
    /// Nothing: bytes that make a datagram as long as a path is asked to carry (Spec 55.8).
    case padding(Int)
}

/// The type bytes of Spec 60.2.
public enum FrameType: UInt8, Sendable {
    case header = 0x01
    case shred = 0x02
    case repaired = 0x03
    case subscribe = 0x04
    case accept = 0x05
    case refuse = 0x06
    case unsubscribe = 0x07
    case repair = 0x08
    case miss = 0x09
    case catchUp = 0x0A
    case status = 0x0B
    case ping = 0x0C
    case pong = 0x0D
    case close = 0x0E
    case headerSum = 0x0F
    case record = 0x10
    case getPeers = 0x11
    case peers = 0x12
    case place = 0x13
    case evidence = 0x30
    case feedback = 0x20
    case padding = 0x22
}

/// Bounds of frame fields that are not `WireLimits` already. Every one is checked when parsing and by the writer.
public enum FrameLimits {
    /// A header frame fills at most a datagram: 1,208 less type and length.
    public static let headerBytesMax = WireLimits.framesBytesMax - 3
    public static let leaseMillisecondsMax: UInt32 = 60_000
    public static let alternativesMax = 8
    /// Key 32, address 16, port 2.
    public static let alternativeBytes = 50
    /// Heights one CATCHUP frame may ask for.
    public static let catchUpHeightsMax = 256
    /// Peer records in one PEERS frame: 6 × 164 = 984 bytes.
    public static let peersMax = 6
    /// The longest way from the sequencer that a node may tell of.
    public static let hopsMax: UInt8 = 8
    /// PLACE's byte for no stream.
    static let hopsUnknown: UInt8 = 255
}
