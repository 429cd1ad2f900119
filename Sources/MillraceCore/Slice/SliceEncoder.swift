/// Cuts payloads into slices, adds parity, chains and signs: the sequencer's half of Spec 40.
///
/// One encoder per cadence: it owns the head of that cadence's chain of headers. A payload becomes ⌈n / 38,080⌉ slices
/// of even size, each with the fewest data symbols that hold it (or more, if `dataCountMin` asks: a small payload spread
/// over more stripes loses less to one lost datagram). An empty payload is one slice without symbols.
///
/// `encode` is all or nothing: when the pool has no room, the chain has not moved. It allocates per slice (its header's
/// hashes), never per shred.

public import MillraceBase
public import MillraceCrypto
public import MillraceWire

/// What a header says about the mini-block besides its payload.
public struct SliceSeal: Sendable {
    public var firstHeight: UInt64
    public var lastHeight: UInt64
    public var sealedAtMicroseconds: UInt64
    /// Travels in the first slice.
    public var commitment: SliceCommitment?
    public var isEndOfStream: Bool

    public init(
        firstHeight: UInt64, lastHeight: UInt64, sealedAtMicroseconds: UInt64,
        commitment: SliceCommitment? = nil,
        isEndOfStream: Bool = false
    ) {
        self.firstHeight = firstHeight
        self.lastHeight = lastHeight
        self.sealedAtMicroseconds = sealedAtMicroseconds
        self.commitment = commitment
        self.isEndOfStream = isEndOfStream
    }

    /// A seal of one mini-block.
    public init(
        height: UInt64, sealedAtMicroseconds: UInt64, commitment: SliceCommitment? = nil,
        isEndOfStream: Bool = false
    ) {
        self.init(
            firstHeight: height, lastHeight: height, sealedAtMicroseconds: sealedAtMicroseconds,
            commitment: commitment, isEndOfStream: isEndOfStream)
    }
}

public struct SliceEncoder: Sendable {
    public let chainID: UInt64
    public let epoch: UInt32
    public let cadence: Cadence
    public let codecID: UInt8
    /// The hash the next header will name.
    public private(set) var previousHeaderHash: Hash32
    private let key: SigningKey
    private let symbolBytesMax: Int
    private let dataCountMin: Int
    /// Slices that parity covers, 1…16.
    private let windowSpanMax: Int

    /// `originHash` is what the first header names: the commitment of the stream's genesis state (Spec 40.3).
    public init(
        chainID: UInt64, epoch: UInt32, cadence: Cadence = .c0, codecID: UInt8, originHash: Hash32,
        key: SigningKey,
        symbolBytesMax: Int = WireLimits.symbolBytesMax, dataCountMin: Int = 1,
        windowSpanMax: Int = WireLimits.windowSpanMax
    ) {
        precondition(
            symbolBytesMax >= 1 && symbolBytesMax <= WireLimits.symbolBytesMax
                && dataCountMin >= 1 && dataCountMin <= WireLimits.dataCountMax
                && windowSpanMax >= 1 && windowSpanMax <= WireLimits.windowSpanMax,
            "a slice encoder beyond the limits")
        self.chainID = chainID
        self.epoch = epoch
        self.cadence = cadence
        self.codecID = codecID
        previousHeaderHash = originHash
        self.key = key
        self.symbolBytesMax = symbolBytesMax
        self.dataCountMin = dataCountMin
        self.windowSpanMax = windowSpanMax
    }

    /// The slices of a payload of `payloadBytes` that nobody has: sizes, chain and headers as if it had been encoded
    /// (`PayloadForm.byReference`).
    package mutating func encode(
        absentBytes payloadBytes: Int, seal: SliceSeal, parityCount: Int, window: [SliceAssembler] = [],
        pool: SlicePool
    ) -> [SliceAssembler]? {
        let absent = UnsafeRawBufferPointer(start: SliceAssembler.absentSymbol, count: payloadBytes)
        return encode(absent, seal: seal, parityCount: parityCount, window: window, pool: pool)
    }

    /// The largest symbol of slices with so much parity. Whoever makes more than four parity shreds of a slice expects bursts,
    /// and those lose so many datagrams, not so many bytes: slices are cut into a third more of them.
    public static func symbolBytesMax(parityCount: Int) -> Int {
        parityCount > 4 ? finerSymbolBytes : WireLimits.symbolBytesMax
    }
    /// 18,000 bytes, of 190,000 swaps a second, into 21: eight parity shreds are 38 % of that.
    static let finerSymbolBytes = 880

    /// How many slices a payload of `bytes` becomes.
    public func sliceCount(payloadBytes bytes: Int) -> Int {
        let perSlice = WireLimits.dataCountMax * symbolBytesMax
        return max(1, (bytes + perSlice - 1) / perSlice)
    }

    /// The slices of `payload`, in order, verified and full; nil when the pool has no room. `parityCount` is per slice,
    /// 0…16, and covers as many of `window` as the span allows: the slices before these in the chain, the nearest first, with
    /// their data. The caller owes a payload within `Limits.payloadBytesMax` that needs at most `WireLimits.sliceCountMax`
    /// slices, and a seal that keeps the rules of Spec 40.3.
    public mutating func encode(
        _ payload: UnsafeRawBufferPointer, seal: SliceSeal, parityCount: Int, window: [SliceAssembler] = [],
        pool: SlicePool
    ) -> [SliceAssembler]? {
        let count = sliceCount(payloadBytes: payload.count)
        precondition(
            payload.count <= Limits.payloadBytesMax && count <= WireLimits.sliceCountMax
                && parityCount >= 0 && parityCount <= WireLimits.parityCountMax, "a payload beyond the limits"
        )
        var drafts: [SliceHeader] = []
        var slices: [SliceAssembler] = []
        drafts.reserveCapacity(count)
        slices.reserveCapacity(count)
        // The longest symbols in the windows of these slices: those before, then these themselves.
        var lengths = window.prefix(windowSpanMax - 1).reversed().map { Int($0.header.symbolBytes) }
        for index in 0..<count {
            var draft = draft(
                seal, payloadBytes: payload.count, index: index, count: count, parityCount: parityCount)
            lengths.append(Int(draft.symbolBytes))
            let covered = lengths.suffix(windowSpanMax)
            draft.windowSpan = UInt8(covered.count)
            if draft.parityCount > 0 { draft.parityBytes = UInt16(covered.max() ?? 0) }
            guard let slice = pool.take(bytes: SliceAssembler.bytesNeeded(for: draft)) else {
                for slice in slices { pool.give(slice) }
                return nil
            }
            drafts.append(draft)
            slices.append(slice)
        }
        var before = window.prefix(windowSpanMax - 1)
        for index in 0..<count {
            drafts[index].previousHeaderHash = previousHeaderHash
            let range = SliceHeader.shareOfPayload(payload.count, index: index, count: count)
            slices[index].seal(
                UnsafeRawBufferPointer(rebasing: payload[range]), header: drafts[index], window: before,
                key: key)
            previousHeaderHash = slices[index].headerHash
            before = ([slices[index]] + before).prefix(windowSpanMax - 1)
        }
        return slices
    }

    public mutating func encode(
        _ payload: [UInt8], seal: SliceSeal, parityCount: Int, window: [SliceAssembler] = [], pool: SlicePool
    ) -> [SliceAssembler]? {
        payload.withUnsafeBytes {
            encode($0, seal: seal, parityCount: parityCount, window: window, pool: pool)
        }
    }

    /// Slice `index` of `payload`, without parity, verified and full; nil when the pool has no room, and then the chain has not
    /// moved. For who cuts a large payload over several turns, and owes all its slices, in order, with the same seal.
    mutating func encodeSlice(
        _ index: Int, of payload: UnsafeRawBufferPointer, seal: SliceSeal, pool: SlicePool
    ) -> SliceAssembler? {
        let count = sliceCount(payloadBytes: payload.count)
        precondition(
            index < count && payload.count <= Limits.payloadBytesMax && count <= WireLimits.sliceCountMax,
            "a payload beyond the limits")
        var header = draft(seal, payloadBytes: payload.count, index: index, count: count, parityCount: 0)
        guard let slice = pool.take(bytes: SliceAssembler.bytesNeeded(for: header)) else { return nil }
        header.previousHeaderHash = previousHeaderHash
        let range = SliceHeader.shareOfPayload(payload.count, index: index, count: count)
        slice.seal(
            UnsafeRawBufferPointer(rebasing: payload[range]), header: header, window: [], key: key)
        previousHeaderHash = slice.headerHash
        return slice
    }

    private func draft(
        _ seal: SliceSeal, payloadBytes: Int, index: Int, count: Int, parityCount: Int
    ) -> SliceHeader {
        var header = SliceHeader()
        header.chainID = chainID
        header.epoch = epoch
        header.cadence = cadence
        header.codecID = codecID
        header.firstHeight = seal.firstHeight
        header.lastHeight = seal.lastHeight
        header.sealedAtMicroseconds = seal.sealedAtMicroseconds
        header.isEndOfStream = seal.isEndOfStream
        header.commitment = index == 0 ? seal.commitment : nil
        header.sliceIndex = UInt16(index)
        header.sliceCount = UInt16(count)
        header.payloadBytes = UInt32(payloadBytes)
        let bytes = header.payloadRange.count
        header.sliceBytes = UInt32(bytes)
        if bytes > 0 {
            let fewest = (bytes + symbolBytesMax - 1) / symbolBytesMax
            let dataCount = max(fewest, min(dataCountMin, bytes))
            header.dataCount = UInt8(dataCount)
            header.symbolBytes = UInt16((bytes + dataCount - 1) / dataCount)
            header.parityCount = UInt8(parityCount)
        }
        return header
    }
}
