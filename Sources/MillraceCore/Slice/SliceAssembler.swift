/// One slice in memory: from its verified header to its verified payload, and then as a node's copy for forwarding and
/// repair. A sequencer's own slices are the same objects, born full (`SliceEncoder`).
///
///                 insert                    recover()                  verify()
///     collecting ────────▶ (K in hand) ────────────────▶ whole ────────────────▶ verified
///                                              └─────────────┴──▶ inconsistent: the sequencer signed symbols that
///                                                                 do not belong together; give the slice back
///
/// Promises: a symbol is stored only if its hash is the one in the header, so `have` never tells of anything a child or a
/// replica could refuse. Whatever is re-created is hashed against the header too. Nothing traps on a peer's bytes: a
/// stripe out of range or a symbol of the wrong length answers `.forged`. Inserting, recovering and verifying allocate
/// nothing.
///
/// Asks: the header's signature has been verified before `SlicePool.take`. Symbol pointers handed out are lent until the
/// slice goes back to its pool.
///
/// Bounds: symbols take at most (K + parity) × 1,190 ≤ 48 × 1,190 bytes, from the pool's budget.
///
/// The data symbols lie end to end, so the payload needs no copying: it is the first `sliceBytes` bytes of them. Parity
/// lies behind them.
///
/// A slice alone recovers only with parity over itself (window span 1). Where parity covers a window, a slice is `collecting`
/// until every data symbol is here, and `WindowSolver`, which sees the slices before it, brings the missing ones.

public import MillraceBase
import MillraceCrypto
import MillraceErasure
public import MillraceWire

public final class SliceAssembler {
    public enum State: UInt8, Sendable, BitwiseCopyable {
        /// Data symbols are missing.
        case collecting
        /// Every data symbol is in hand and hashes to what was signed.
        case whole
        /// The payload hashes to what was signed.
        case verified
        /// What was signed contradicts itself.
        case inconsistent
    }

    public enum Insertion: UInt8, Sendable, BitwiseCopyable {
        /// New and genuine: forward it.
        case stored
        /// The same, and what is in hand is enough now: `recover()` will succeed.
        case completed
        /// Had it already; not looked at.
        case duplicate
        /// Not what the sequencer signed for this stripe, or no such stripe.
        case forged
    }

    public private(set) var header = SliceHeader()
    public private(set) var headerHash: Hash32 = .zero
    /// The header as it came, for forwarding.
    public private(set) var headerBytes: [UInt8] = []
    /// Symbols in hand, one bit per stripe: 0…31 data, 32…47 parity.
    public private(set) var have: UInt64 = 0
    public private(set) var state: State = .collecting

    /// Bytes at `symbols`, owned.
    private(set) var capacityBytes = 0
    private var symbols: UnsafeMutableRawPointer
    private var code: ErasureCode

    private let payloads: PayloadForm
    /// What stands for the bytes of any symbol that is known by reference.
    nonisolated(unsafe) static let absentSymbol: UnsafeRawPointer = {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: WireLimits.symbolBytesMax, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: WireLimits.symbolBytesMax)
        return UnsafeRawPointer(memory)
    }()

    /// An empty one with no memory; `SlicePool` makes them.
    init(_ payloads: PayloadForm = .carried) {
        self.payloads = payloads
        symbols = .allocate(byteCount: 0, alignment: 64)
        code = Self.noCode
    }

    deinit { symbols.deallocate() }

    private static let noCode: ErasureCode = {
        guard let code = ErasureCode(dataCount: 0, parityCount: 0, symbolBytes: 0) else {
            preconditionFailure("the empty code is a code")
        }
        return code
    }()

    // MARK: Life cycle, driven by the pool

    /// Bytes a slice with this header needs.
    static func bytesNeeded(for header: SliceHeader) -> Int {
        Int(header.dataCount) * Int(header.symbolBytes) + Int(header.parityCount) * Int(header.parityBytes)
    }

    func reserve(_ bytes: Int) {
        if bytes <= capacityBytes { return }
        capacityBytes = bytes
        if payloads == .byReference { return }
        symbols.deallocate()
        symbols = .allocate(byteCount: bytes, alignment: 64)
    }

    /// Starts collecting. The caller owes a valid, verified header and enough capacity. `shared` are the encoded bytes, where
    /// others hold them too.
    func begin(header: SliceHeader, hash: Hash32, encoded: RawSpan, shared: [UInt8]? = nil) {
        precondition(Self.bytesNeeded(for: header) <= capacityBytes, "slice memory was not reserved")
        guard
            let code = ErasureCode(
                dataCount: Int(header.dataCount), parityCount: Int(header.parityCount),
                symbolBytes: Int(header.symbolBytes))
        else { preconditionFailure("a slice begun from a header that was not validated") }
        self.code = code
        self.header = header
        headerHash = hash
        if let shared {
            headerBytes = shared
        } else {
            headerBytes.removeAll(keepingCapacity: true)
            headerBytes.append(encoded)
        }
        have = 0
        state = .collecting
        if code.dataCount == 0 { settleWhole() }
    }

    /// Starts as the sequencer: `payload` is copied in and padded, parity is made over this slice and `window` (those
    /// before it, the nearest first, all with their data), and the header's hashes are filled in, chained and signed.
    func seal(
        _ payload: UnsafeRawBufferPointer, header draft: SliceHeader, window: ArraySlice<SliceAssembler>,
        key: SigningKey
    ) {
        var draft = draft
        precondition(Self.bytesNeeded(for: draft) <= capacityBytes, "slice memory was not reserved")
        guard
            let code = ErasureCode(
                dataCount: Int(draft.dataCount), parityCount: Int(draft.parityCount),
                symbolBytes: Int(draft.symbolBytes))
        else { preconditionFailure("a slice sealed beyond the limits") }
        self.code = code
        let dataBytes = code.dataCount * code.symbolBytes
        precondition(payload.count <= dataBytes, "a payload larger than its symbols")
        if payloads == .byReference {
            let unhashed = ShredHash(low: 0, high: 0)
            draft.shredHashes = Array(repeating: unhashed, count: code.dataCount + code.parityCount)
            settleSealed(draft)
            return
        }
        if let base = payload.baseAddress { symbols.copyMemory(from: base, byteCount: payload.count) }
        (symbols + payload.count).initializeMemory(
            as: UInt8.self, repeating: 0, count: dataBytes - payload.count)
        header = draft
        makeParity(code.allStripes, window: window)

        draft.payloadHash = Blake2b.hash(UnsafeRawBufferPointer(start: symbols, count: payload.count))
        draft.shredHashes.removeAll(keepingCapacity: true)
        for position in 0..<(code.dataCount + code.parityCount) {
            let stripe = stripe(at: position)
            guard let place = place(ofStripe: stripe) else { continue }
            draft.shredHashes.append(
                ShredHash(
                    of: bytes(at: place), stripe: stripe, previousHeaderHash: draft.previousHeaderHash))
        }
        draft.sign(hash: draft.hash, with: key)
        settleSealed(draft)
    }

    private func settleSealed(_ sealed: SliceHeader) {
        header = sealed
        headerHash = sealed.hash
        headerBytes.removeAll(keepingCapacity: true)
        sealed.encode(into: &headerBytes)
        have = code.allStripes
        state = .verified
    }

    // MARK: Shreds in

    /// Takes one symbol: hashed, and copied when genuine and new.
    public func insert(_ symbol: UnsafeRawBufferPointer, stripe: Int) -> Insertion {
        guard let place = place(ofStripe: stripe) else { return .forged }
        let bit = UInt64(1) << UInt64(stripe)
        if have & bit != 0 { return .duplicate }
        switch payloads {
        case .carried:
            guard let source = symbol.baseAddress, header.isGenuine(symbol, stripe: stripe) else {
                return .forged
            }
            (symbols + place.lowerBound).copyMemory(from: source, byteCount: place.count)
        case .byReference:
            guard symbol.count == place.count else { return .forged }
        }
        have |= bit
        guard state == .collecting, usableStripes & bit != 0 else { return .stored }
        return (have & usableStripes).nonzeroBitCount == code.dataCount ? .completed : .stored
    }

    public func insert(_ symbol: RawSpan, stripe: Int) -> Insertion {
        symbol.withUnsafeBytes { insert($0, stripe: stripe) }
    }

    // MARK: Recovery

    /// How many more symbols until the data can be recovered without other slices. 0 once it can.
    public var missingCount: Int {
        state == .collecting ? max(0, code.dataCount - (have & usableStripes).nonzeroBitCount) : 0
    }

    /// Stripes that count towards recovery of this slice alone.
    private var usableStripes: UInt64 { header.windowSpan == 1 ? code.allStripes : code.dataStripes }

    /// Data stripes that are in hand.
    var knownData: UInt64 { code.dataStripes & have }
    /// Data stripes that are not.
    var missingData: UInt64 { code.dataStripes & ~have }

    /// The stripes this slice has that are not in hand.
    public var missingStripes: UInt64 { code.allStripes & ~have }
    public var allStripes: UInt64 { code.allStripes }

    /// Computes the missing data symbols if K symbols are in hand, and checks each against its signed hash. Answers the
    /// state reached.
    @discardableResult
    public func recover() -> State {
        guard state == .collecting, missingCount == 0 else { return state }
        let lost = code.dataStripes & ~have
        if payloads == .byReference {
            have |= lost
            state = .whole
            return state
        }
        guard code.recover(symbols, have: have & usableStripes) else { return state }
        guard areGenuine(lost) else {
            state = .inconsistent
            return state
        }
        have |= lost
        state = .whole
        return state
    }

    /// `recover()`, then compares the payload with its signed hash. Answers the state reached: `.verified` before the
    /// payload may be used.
    @discardableResult
    public func verify() -> State {
        recover()
        if state == .whole { settleWhole() }
        return state
    }

    /// Makes the parity of `stripes` that is missing, byte for byte the sequencer's: a relay's part in keeping its children's
    /// stripes alive. `window` has the slices before this one, the nearest first, whole. Answers the stripes made; none
    /// while data is missing here or in the window that the header names.
    public func recreate(_ stripes: UInt64, window: ArraySlice<SliceAssembler> = []) -> UInt64 {
        recover()
        guard state == .whole || state == .verified else { return 0 }
        let wanted = stripes & missingStripes
        if wanted == 0 { return 0 }
        let others = window.prefix(Int(header.windowSpan) - 1)
        guard others.count == Int(header.windowSpan) - 1,
            others.allSatisfy({ $0.missingData == 0 && $0.header.symbolBytes <= header.parityBytes })
        else { return 0 }
        if payloads == .byReference {
            have |= wanted
            return wanted
        }
        makeParity(wanted, window: others)
        guard areGenuine(wanted) else {
            state = .inconsistent
            return 0
        }
        have |= wanted
        return wanted
    }

    /// Writes the parity symbols of `stripes`. The data is all here and in `window`, whose symbols are no longer than parity.
    private func makeParity(_ stripes: UInt64, window: ArraySlice<SliceAssembler>) {
        let rows = (0..<code.parityCount).filter {
            stripes >> UInt64(WireLimits.firstParityStripe + $0) & 1 == 1
        }
        if rows.isEmpty { return }
        withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer.self, capacity: rows.count) { places in
            guard let destinations = places.baseAddress else { return }
            for (row, parity) in rows.enumerated() {
                let start = symbols + code.dataCount * code.symbolBytes + parity * Int(header.parityBytes)
                start.initializeMemory(as: UInt8.self, repeating: 0, count: Int(header.parityBytes))
                (destinations + row).initialize(to: start)
            }
            let full = rows.map { WindowRow(parity: $0, distance: 0) }
            add(code.dataStripes, rows: full, to: destinations)
            for (i, slice) in window.enumerated() {
                slice.add(
                    slice.code.dataStripes, rows: rows.map { WindowRow(parity: $0, distance: i + 1) },
                    to: destinations)
            }
        }
    }

    // MARK: In a window

    /// Which parity symbol a row belongs to, and how many slices before that symbol's own this slice lies.
    struct WindowRow {
        var parity: Int
        var distance: Int
    }

    /// Adds to each destination what this slice's data symbols of `stripes` are in the parity of that row.
    func add(
        _ stripes: UInt64, rows: [WindowRow], to destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>
    ) {
        let count = stripes.nonzeroBitCount
        if count == 0 || rows.isEmpty { return }
        withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer.self, capacity: count) { places in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: count * rows.count) { matrix in
                guard let sources = places.baseAddress, let coefficients = matrix.baseAddress else { return }
                var rest = stripes
                for s in 0..<count {
                    let stripe = rest.trailingZeroBitCount
                    rest &= rest - 1
                    (sources + s).initialize(to: symbols + stripe * code.symbolBytes)
                    for row in rows.indices {
                        (coefficients + row * count + s).initialize(
                            to: WindowCode.coefficient(
                                parity: rows[row].parity, data: stripe, distance: rows[row].distance))
                    }
                }
                WindowCode.accumulate(
                    bytes: code.symbolBytes, sources: sources, sourceCount: count, coefficients: coefficients,
                    destinations: destinations, rows: rows.count)
            }
        }
    }

    /// Takes a data symbol that a window's equations gave: at least as long as this slice's symbols, or nil by
    /// reference. False when it is not what was signed: then the sequencer signed a contradiction.
    func restore(_ stripe: Int, from symbol: UnsafeRawPointer?) -> Bool {
        guard let place = place(ofStripe: stripe), state == .collecting else { return false }
        if payloads == .carried {
            guard let symbol,
                header.isGenuine(
                    UnsafeRawBufferPointer(start: symbol, count: place.count), stripe: stripe)
            else {
                state = .inconsistent
                return false
            }
            (symbols + place.lowerBound).copyMemory(from: symbol, byteCount: place.count)
        }
        have |= 1 << UInt64(stripe)
        return true
    }

    private func settleWhole() {
        if payloads == .byReference {
            state = .verified
            return
        }
        let count = Int(header.sliceBytes)
        let padding = UnsafeRawBufferPointer(
            start: symbols + count, count: code.dataCount * code.symbolBytes - count)
        let hash = Blake2b.hash(UnsafeRawBufferPointer(start: symbols, count: count))
        state = hash == header.payloadHash && padding.allSatisfy { $0 == 0 } ? .verified : .inconsistent
    }

    private func areGenuine(_ stripes: UInt64) -> Bool {
        var rest = stripes
        while rest != 0 {
            let stripe = rest.trailingZeroBitCount
            rest &= rest - 1
            guard let place = place(ofStripe: stripe), header.isGenuine(bytes(at: place), stripe: stripe)
            else { return false }
        }
        return true
    }

    // MARK: Bytes out

    /// The symbol of `stripe`, lent; nil when it is not in hand.
    public func symbol(ofStripe stripe: Int) -> UnsafeRawBufferPointer? {
        guard let place = place(ofStripe: stripe), have >> UInt64(stripe) & 1 == 1 else { return nil }
        return bytes(at: place)
    }

    /// The slice's bytes, lent; nil unless verified, and by reference.
    public var payload: UnsafeRawBufferPointer? {
        state == .verified && payloads == .carried
            ? UnsafeRawBufferPointer(start: symbols, count: Int(header.sliceBytes)) : nil
    }

    /// Likewise as soon as all data is here: each symbol was compared with its signed hash, the whole not yet.
    var data: UnsafeRawBufferPointer? {
        (state == .verified || state == .whole) && payloads == .carried
            ? UnsafeRawBufferPointer(start: symbols, count: Int(header.sliceBytes)) : nil
    }

    private func bytes(at place: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: payloads == .byReference
                ? SliceAssembler.absentSymbol : UnsafeRawPointer(symbols + place.lowerBound),
            count: place.count)
    }

    /// Where the symbol of `stripe` lies; nil when this slice has no such stripe.
    private func place(ofStripe stripe: Int) -> Range<Int>? {
        guard let position = code.position(ofStripe: stripe) else { return nil }
        if position < code.dataCount {
            return position * code.symbolBytes..<(position + 1) * code.symbolBytes
        }
        let parityBytes = Int(header.parityBytes)
        let start = code.dataCount * code.symbolBytes + (position - code.dataCount) * parityBytes
        return start..<start + parityBytes
    }

    private func stripe(at position: Int) -> Int {
        position < code.dataCount ? position : WireLimits.firstParityStripe + position - code.dataCount
    }
}
