/// Systematic Cauchy Reed–Solomon over GF(2^8) for one slice: K data symbols give up to 16 parity symbols, and any K of
/// all of them give everything back, byte for byte (Spec 40.5).
///
/// Parity j is the sum over data i of d_i / (x_j + y_i), where x_j = 32 + j is the parity's stripe and y_i = i the data
/// symbol's. The coefficients depend on stripes alone, never on K, so a slice with fewer symbols is one whose other
/// symbols are zero.
///
/// Recovering e missing data symbols takes one pass of e × K multiplications over symbols and no inversion: the product
/// of the e × e inverse with the received part of the code has a closed form, because a Cauchy code is the evaluation
/// of one polynomial at every x and y (`recoveryCoefficients`). The k × k inverse of the textbooks would cost k³ field
/// operations first, for the same bytes.
///
/// Symbols lie contiguous: data 0..<K, then the parity in order, each `symbolBytes` long. The caller owes that memory,
/// `(dataCount + parityCount) * symbolBytes` bytes, for the length of a call. Nothing here allocates after the first
/// use of each K, and nothing here knows whether a symbol is true: hashes are checked by the caller.

public struct ErasureCode: Hashable, Sendable, BitwiseCopyable {
    public static let dataCountMax = 32
    public static let parityCountMax = 16
    /// The stripe of parity symbol 0. Data symbols have stripes 0…31.
    @inlinable public static var firstParityStripe: Int { 32 }

    public let dataCount: Int
    public let parityCount: Int
    public let symbolBytes: Int

    /// Nil unless 0 ≤ dataCount ≤ 32, 0 ≤ parityCount ≤ 16 and symbolBytes ≥ 0.
    public init?(dataCount: Int, parityCount: Int, symbolBytes: Int) {
        guard dataCount >= 0, dataCount <= Self.dataCountMax, parityCount >= 0,
            parityCount <= Self.parityCountMax,
            symbolBytes >= 0
        else { return nil }
        self.dataCount = dataCount
        self.parityCount = parityCount
        self.symbolBytes = symbolBytes
    }

    /// The bytes the caller owes.
    @inlinable public var totalBytes: Int { (dataCount + parityCount) * symbolBytes }

    /// The stripes of all symbols, one bit each: bit i for data i, bit 32 + j for parity j.
    @inlinable public var allStripes: UInt64 { dataStripes | (UInt64(1) << UInt64(parityCount) - 1) << 32 }
    /// The stripes of the data symbols.
    @inlinable public var dataStripes: UInt64 { UInt64(1) << UInt64(dataCount) - 1 }

    /// Where the symbol of `stripe` lies among the symbols; nil when this slice has no such stripe.
    @inlinable public func position(ofStripe stripe: Int) -> Int? {
        if stripe >= 0 && stripe < dataCount { return stripe }
        let parity = stripe &- Self.firstParityStripe
        return parity >= 0 && parity < parityCount ? dataCount + parity : nil
    }

    /// The coefficient of data symbol `data` in parity symbol `parity`.
    public static func coefficient(parity: Int, data: Int) -> UInt8 {
        GaloisField.inverse(UInt8(firstParityStripe + parity) ^ UInt8(data))
    }

    // MARK: Encoding

    /// Writes every parity symbol.
    public func encode(_ symbols: UnsafeMutableRawPointer) {
        encode(symbols, kernel: .preferred)
    }

    /// Writes the parity symbols of `stripes` (data bits are ignored). The data must be all there.
    public func encode(_ symbols: UnsafeMutableRawPointer, stripes: UInt64) {
        encode(symbols, stripes: stripes, kernel: .preferred)
    }

    package func encode(_ symbols: UnsafeMutableRawPointer, kernel: Kernel) {
        guard dataCount > 0, parityCount > 0, symbolBytes > 0 else { return }
        withPointers { sources, destinations, _ in
            for i in 0..<dataCount { sources[i] = symbols + i * symbolBytes }
            for j in 0..<parityCount { destinations[j] = symbols + (dataCount + j) * symbolBytes }
            kernel.encode(
                bytes: symbolBytes, sources: sources, dataCount: dataCount, destinations: destinations,
                parityCount: parityCount)
        }
    }

    func encode(_ symbols: UnsafeMutableRawPointer, stripes: UInt64, kernel: Kernel) {
        guard dataCount > 0, symbolBytes > 0 else { return }
        let wanted = stripes & allStripes & ~dataStripes
        if wanted == 0 { return }
        withPointers { sources, destinations, coefficients in
            for i in 0..<dataCount { sources[i] = symbols + i * symbolBytes }
            var rows = 0
            for parity in 0..<parityCount where wanted >> UInt64(32 + parity) & 1 == 1 {
                destinations[rows] = symbols + (dataCount + parity) * symbolBytes
                for i in 0..<dataCount {
                    coefficients[rows * dataCount + i] = Self.coefficient(parity: parity, data: i)
                }
                rows += 1
            }
            kernel.combine(
                bytes: symbolBytes, sources: sources, sourceCount: dataCount, coefficients: coefficients,
                destinations: destinations, rows: rows)
        }
    }

    // MARK: Recovery

    /// Writes the data symbols missing from `have`, from those present. False, and nothing written, when fewer than
    /// `dataCount` symbols are present.
    public func recover(_ symbols: UnsafeMutableRawPointer, have: UInt64) -> Bool {
        recover(symbols, have: have, kernel: .preferred)
    }

    package func recover(_ symbols: UnsafeMutableRawPointer, have: UInt64, kernel: Kernel) -> Bool {
        let present = have & allStripes
        let missing = dataStripes & ~present
        if missing == 0 { return true }
        guard present.nonzeroBitCount >= dataCount else { return false }
        if symbolBytes == 0 { return true }
        withPointers { sources, destinations, coefficients in
            // The received points: every data symbol in hand, then as many parity symbols as are missing.
            var points: InlineArray<32, UInt8> = .init(repeating: 0)
            var unknown: InlineArray<16, UInt8> = .init(repeating: 0)
            var known = 0
            var lost = 0
            for i in 0..<dataCount {
                if present >> UInt64(i) & 1 == 1 {
                    points[known] = UInt8(i)
                    sources[known] = symbols + i * symbolBytes
                    known += 1
                } else {
                    unknown[lost] = UInt8(i)
                    destinations[lost] = symbols + i * symbolBytes
                    lost += 1
                }
            }
            let knownData = known
            for parity in 0..<parityCount where known < dataCount && present >> UInt64(32 + parity) & 1 == 1 {
                points[known] = UInt8(Self.firstParityStripe + parity)
                sources[known] = symbols + (dataCount + parity) * symbolBytes
                known += 1
            }
            Self.recoveryCoefficients(
                points: points, knownData: knownData, count: known, unknown: unknown, lost: lost,
                into: coefficients)
            kernel.combine(
                bytes: symbolBytes, sources: sources, sourceCount: known, coefficients: coefficients,
                destinations: destinations, rows: lost)
        }
        return true
    }

    /// The matrix that gives the lost data symbols from the received ones.
    ///
    /// Let Q(z) = Σ_i d_i · Π_{j≠i} (z + y_j), a polynomial of degree below K. It is known at every received point:
    /// Q(y_i) = d_i · Π_{j≠i} (y_i + y_j), and Q(x_r) = p_r · Π_j (x_r + y_j). Interpolating Q at a lost y_a, nearly all
    /// factors cancel. With E the lost data and R the parity in use, the coefficient of point z for lost symbol a is
    ///
    ///     A(z) · B(a) / (y_a + z)
    ///     A(y_i) = Π_{b∈E} (y_i + y_b) / Π_{r∈R} (y_i + x_r)
    ///     A(x_r) = Π_{b∈E} (x_r + y_b) / Π_{s∈R, s≠r} (x_r + x_s)
    ///     B(a)   = Π_{r∈R} (y_a + x_r) / Π_{b∈E, b≠a} (y_a + y_b)
    ///
    /// so 3·e·K table look-ups give the whole matrix. All points differ, so no factor is zero.
    static func recoveryCoefficients(
        points: InlineArray<32, UInt8>, knownData: Int, count: Int, unknown: InlineArray<16, UInt8>,
        lost: Int,
        into coefficients: UnsafeMutablePointer<UInt8>
    ) {
        GaloisField.powers.withUnsafeBufferPointer { powers in
            GaloisField.logarithms.withUnsafeBufferPointer { logarithms in
                // Sums of at most 32 logarithms below 255, kept non-negative by 255 per subtraction.
                func log(_ a: UInt8, _ b: UInt8) -> Int { Int(logarithms[Int(a ^ b)]) }
                var pointFactor: InlineArray<32, Int> = .init(repeating: 0)
                for p in 0..<count {
                    var sum = 0
                    for e in 0..<lost { sum += log(points[p], unknown[e]) }
                    for r in knownData..<count where r != p { sum += 255 - log(points[p], points[r]) }
                    pointFactor[p] = sum
                }
                for a in 0..<lost {
                    var own = 0
                    for r in knownData..<count { own += log(unknown[a], points[r]) }
                    for b in 0..<lost where b != a { own += 255 - log(unknown[a], unknown[b]) }
                    for p in 0..<count {
                        let sum = own + pointFactor[p] + 255 - log(unknown[a], points[p])
                        coefficients[a * count + p] = powers[sum % 255]
                    }
                }
            }
        }
    }

    /// Room on the stack for the pointers and the matrix of one call.
    private func withPointers(
        _ body: (
            _ sources: UnsafeMutablePointer<UnsafeMutableRawPointer>,
            _ destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>,
            _ coefficients: UnsafeMutablePointer<UInt8>
        ) -> Void
    ) {
        withUnsafeTemporaryAllocation(
            of: UnsafeMutableRawPointer.self, capacity: Self.dataCountMax + Self.parityCountMax
        ) { pointers in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.dataCountMax * Self.parityCountMax) {
                matrix in
                guard let base = pointers.baseAddress, let coefficients = matrix.baseAddress else { return }
                body(base, base + Self.dataCountMax, coefficients)
            }
        }
    }
}
