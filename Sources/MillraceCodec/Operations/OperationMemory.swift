/// What the coding of operations remembers from one to the next within a restart interval, apart from models. Spec 30.12.

internal import MillraceBase

/// A gas amount by the branches a transaction took, less its bytes of call data.
struct RememberedGas: BitwiseCopyable {
    var signature: UInt64
    var gas: UInt64
    /// Misses in a row; `.max`: nothing here yet.
    var misses: UInt64
}

struct OperationMemory: ~Copyable {
    static var gasPlaces: Int { 512 }
    static var pricesMax: Int { 15 }
    /// Call data costs 16 for a byte that is not zero and 4 for one that is (EIP-2028).
    static var gasPerNonzeroByte: UInt64 { 12 }

    private let gas: UnsafeMutablePointer<RememberedGas>
    private let savedGas: UnsafeMutablePointer<RememberedGas>
    private let prices: UnsafeMutablePointer<UInt64>
    private let savedPrices: UnsafeMutablePointer<UInt64>
    var lasts = Lasts()
    private var savedLasts = Lasts()
    let widths = ExpectedWidths()

    /// What was last seen.
    struct Lasts {
        var timestamp: UInt32 = 0
        var coinbase: UInt32 = .max
        var baseFee: UInt64 = 0
        var spender: UInt32 = .max
        var priceCount = 0
    }

    init() {
        gas = .allocate(capacity: OperationMemory.gasPlaces)
        savedGas = .allocate(capacity: OperationMemory.gasPlaces)
        prices = .allocate(capacity: OperationMemory.pricesMax)
        savedPrices = .allocate(capacity: OperationMemory.pricesMax)
        gas.initialize(
            repeating: RememberedGas(signature: 0, gas: 0, misses: .max), count: OperationMemory.gasPlaces)
        savedGas.initialize(from: gas, count: OperationMemory.gasPlaces)
        prices.initialize(repeating: 0, count: OperationMemory.pricesMax)
        savedPrices.initialize(repeating: 0, count: OperationMemory.pricesMax)
    }

    deinit {
        gas.deallocate()
        savedGas.deallocate()
        prices.deallocate()
        savedPrices.deallocate()
        widths.free()
    }

    mutating func reset() {
        gas.update(
            repeating: RememberedGas(signature: 0, gas: 0, misses: .max), count: OperationMemory.gasPlaces)
        lasts = Lasts()
        widths.reset()
    }

    mutating func save() {
        savedGas.update(from: gas, count: OperationMemory.gasPlaces)
        savedPrices.update(from: prices, count: OperationMemory.pricesMax)
        savedLasts = lasts
        widths.save()
    }

    mutating func restore() {
        gas.update(from: savedGas, count: OperationMemory.gasPlaces)
        prices.update(from: savedPrices, count: OperationMemory.pricesMax)
        lasts = savedLasts
        widths.restore()
    }

    // MARK: Gas

    @inline(__always)
    private static func place(_ signature: UInt64) -> Int {
        Int(truncatingIfNeeded: (signature &* 0x9E37_79B9_7F4A_7C15) >> 55)
    }

    /// What a transaction of these branches cost before its call data; nil when none is remembered.
    @inline(__always)
    func expectedGas(_ signature: UInt64) -> UInt64? {
        let cell = gas[OperationMemory.place(signature)]
        return cell.misses != .max && cell.signature == signature ? cell.gas : nil
    }

    /// One miss may be an exception; the second in a row is the new rule.
    @inline(__always)
    func noteGas(_ signature: UInt64, _ amount: UInt64) {
        let cell = gas + OperationMemory.place(signature)
        if cell.pointee.misses == .max || cell.pointee.signature != signature {
            cell.pointee = RememberedGas(signature: signature, gas: amount, misses: 0)
        } else if cell.pointee.gas == amount {
            cell.pointee.misses = 0
        } else if cell.pointee.misses == 0 {
            cell.pointee.misses = 1
        } else {
            cell.pointee = RememberedGas(signature: signature, gas: amount, misses: 0)
        }
    }

    // MARK: Prices above the base fee

    /// Where a price is listed; `pricesMax`: nowhere.
    @inline(__always)
    func priceIndex(_ price: UInt64) -> Int {
        for i in 0..<lasts.priceCount where prices[i] == price { return i }
        return OperationMemory.pricesMax
    }

    @inline(__always)
    func price(at index: Int) -> UInt64? { index < lasts.priceCount ? prices[index] : nil }

    /// A listed price moves up by one place.
    @inline(__always)
    func usePrice(at index: Int) {
        guard index > 0 else { return }
        (prices[index], prices[index - 1]) = (prices[index - 1], prices[index])
    }

    /// A new price takes the last place.
    mutating func listPrice(_ price: UInt64) {
        if lasts.priceCount < OperationMemory.pricesMax { lasts.priceCount += 1 }
        prices[lasts.priceCount - 1] = price
    }
}
