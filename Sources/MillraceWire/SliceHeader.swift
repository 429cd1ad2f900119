/// The signed header of one slice: everything needed to admit, verify, recover and place its shreds (Spec 40.3).
///
/// `decode` is total: any bytes give a header whose fields are within `WireLimits` and agree with each other, or a
/// `WireError`. It does not check the signature; `isSigned(by:)` does, and nothing may be stored or forwarded before it
/// answered true. A header has exactly one encoding.
///
/// `hash` covers every field and not the signature, so that a second signature over the same fields could not fork the
/// chain of headers. The signature is over that hash.

public import MillraceBase
public import MillraceCrypto

/// The state commitment a header may carry: the commitment after `height`, the last of an EVM block.
public struct SliceCommitment: Hashable, Sendable, BitwiseCopyable {
    public var height: UInt64
    public var hash: Hash32

    public init(height: UInt64, hash: Hash32) {
        self.height = height
        self.hash = hash
    }
}

public struct SliceHeader: Hashable, Sendable {
    /// The one version of this layout.
    public static let version: UInt8 = 1
    package static let fixedBytes = 124
    /// With a commitment and all the shreds a slice can have: 804.
    public static let encodedBytesMax =
        fixedBytes + 40 + WireLimits.shredCountMax * ShredHash.byteCount + Signature.byteCount
    static let commitmentFlag: UInt8 = 1
    static let endOfStreamFlag: UInt8 = 2
    /// 64 zero bytes: no key's signature over anything.
    static let unsigned: Signature = {
        let zeroes = [UInt64](repeating: 0, count: 8)
        return zeroes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { preconditionFailure("64 bytes have an address") }
            return Signature(bytes: base)
        }
    }()

    public var chainID: UInt64 = 0
    /// Counts restarts of the sequencer's stream.
    public var epoch: UInt32 = 0
    public var cadence: Cadence = .c0
    /// The first and last mini-block covered. At `c0` they differ only for a run of empty mini-blocks.
    public var firstHeight: UInt64 = 1
    public var lastHeight: UInt64 = 1
    public var sliceIndex: UInt16 = 0
    public var sliceCount: UInt16 = 1
    /// The sequencer's wall clock when it sealed `lastHeight`, in Unix microseconds.
    public var sealedAtMicroseconds: UInt64 = 0
    /// Of the whole mini-block or window.
    public var payloadBytes: UInt32 = 0
    /// Of this slice: its even share (`shareOfPayload`).
    public var sliceBytes: UInt32 = 0
    /// BLAKE2b-256 of this slice's bytes.
    public var payloadHash: Hash32 = .zero
    /// ⌈sliceBytes / dataCount⌉; the last symbol is padded with zeroes.
    public var symbolBytes: UInt16 = 0
    public var dataCount: UInt8 = 0
    public var parityCount: UInt8 = 0
    /// The length of a parity symbol: that of the longest data symbol in its window. 0 without parity.
    public var parityBytes: UInt16 = 0
    /// Slices whose data this slice's parity combines: this one and so many less one before it in the chain.
    public var windowSpan: UInt8 = 1
    public var codecID: UInt8 = 0
    /// No height follows `lastHeight`.
    public var isEndOfStream = false
    /// `hash` of the slice before this one in its cadence; the stream's origin hash for the first.
    public var previousHeaderHash: Hash32 = .zero
    public var commitment: SliceCommitment?
    /// Of the data symbols, then of the parity symbols.
    public var shredHashes: [ShredHash] = []
    public var signature = SliceHeader.unsigned

    public init() {}

    public var key: SliceKey { SliceKey(firstHeight: firstHeight, cadence: cadence, index: sliceIndex) }
    public var shredCount: Int { Int(dataCount) + Int(parityCount) }
    public var isEmpty: Bool { payloadBytes == 0 }
    public var isLastSlice: Bool { sliceIndex + 1 == sliceCount }

    /// The bytes of a payload of `payloadBytes` that slice `index` of `count` holds: floor(i · n / c) up to
    /// floor((i + 1) · n / c). The caller owes `0 ≤ index < count`.
    public static func shareOfPayload(_ payloadBytes: Int, index: Int, count: Int) -> Range<Int> {
        (payloadBytes * index / count)..<(payloadBytes * (index + 1) / count)
    }

    /// Where this slice's bytes lie in the payload.
    public var payloadRange: Range<Int> {
        Self.shareOfPayload(Int(payloadBytes), index: Int(sliceIndex), count: Int(sliceCount))
    }

    /// Where the hash of `stripe` lies in `shredHashes` and its symbol among the symbols; nil for a stripe this slice
    /// does not have.
    public func position(ofStripe stripe: Int) -> Int? {
        if stripe >= 0 && stripe < Int(dataCount) { return stripe }
        let parity = stripe &- WireLimits.firstParityStripe
        return parity >= 0 && parity < Int(parityCount) ? Int(dataCount) + parity : nil
    }

    /// How long the symbol of `stripe` is, if the slice has that stripe.
    public func symbolBytes(ofStripe stripe: Int) -> Int {
        stripe < WireLimits.firstParityStripe ? Int(symbolBytes) : Int(parityBytes)
    }

    /// Whether `symbol` is the one the sequencer signed for `stripe`.
    public func isGenuine(_ symbol: UnsafeRawBufferPointer, stripe: Int) -> Bool {
        guard symbol.count == symbolBytes(ofStripe: stripe), let position = position(ofStripe: stripe),
            position < shredHashes.count
        else { return false }
        return shredHashes[position]
            == ShredHash(of: symbol, stripe: stripe, previousHeaderHash: previousHeaderHash)
    }

    /// Whether two slices tell the same about the mini-block or window both belong to. Slices of one payload that do
    /// not are the sequencer's fault (Spec 40.3).
    public func agrees(with other: SliceHeader) -> Bool {
        chainID == other.chainID && epoch == other.epoch && cadence == other.cadence
            && firstHeight == other.firstHeight && lastHeight == other.lastHeight
            && sliceCount == other.sliceCount
            && sealedAtMicroseconds == other.sealedAtMicroseconds && payloadBytes == other.payloadBytes
            && codecID == other.codecID && isEndOfStream == other.isEndOfStream
    }
}
