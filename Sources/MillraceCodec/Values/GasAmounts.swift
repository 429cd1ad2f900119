/// The gas amounts that single transactions paid for in this window, in order of first appearance: transactions of one kind
/// use one of a few amounts. Spec 30.6.3. At most 255; later ones are written out each time.

struct GasAmounts: ~Copyable {
    static var countMax: Int { 255 }
    /// The index that announces an amount not listed.
    static var isNew: Int { 255 }

    private var amounts = Scratch<UInt64>(capacity: countMax)
    private(set) var count = 0
    private var savedCount = 0
    /// The encoder's index, open addressing: amount at place, number + 1 beside it.
    private var keys = Scratch<UInt64>(capacity: 512)
    private var numbers = Scratch<UInt16>(capacity: 512)

    init() { removeAll() }

    mutating func removeAll() {
        count = 0
        numbers.base.initialize(repeating: 0, count: 512)
    }

    mutating func save() { savedCount = count }

    mutating func restore() {
        let kept = savedCount
        removeAll()
        for i in 0..<kept { insert(amounts.base[i]) }
    }

    subscript(_ number: Int) -> UInt64 { amounts.base[number] }

    private func home(_ amount: UInt64) -> Int { Int((amount &* 0x9E37_79B9_7F4A_7C15) >> 55) }

    func number(of amount: UInt64) -> Int? {
        var at = home(amount)
        while numbers.base[at] != 0 {
            if keys.base[at] == amount { return Int(numbers.base[at]) - 1 }
            at = (at &+ 1) & 511
        }
        return nil
    }

    /// One of the first amounts listed that divides `fall` and leaves a price of the order of `price`: half of all such falls
    /// are by the commonest kinds of transaction. Encoder only.
    func divisor(of fall: UInt64, near price: UInt64) -> Int? {
        for number in 0..<min(count, 64) where amounts.base[number] != 0 {
            let (own, rest) = fall.quotientAndRemainder(dividingBy: amounts.base[number])
            if rest == 0, own >> 8 < price { return number }
        }
        return nil
    }

    mutating func insert(_ amount: UInt64) {
        guard count < GasAmounts.countMax else { return }
        amounts.base[count] = amount
        count += 1
        var at = home(amount)
        while numbers.base[at] != 0 { at = (at &+ 1) & 511 }
        keys.base[at] = amount
        numbers.base[at] = UInt16(count)
    }
}
