/// How wide a contract's differences have been in this window: the context of the next one's width. A token of 6 decimals
/// and one of 18 differ by 40 bits, and one difference tells which it is. A contract not yet seen is expected to be as
/// others of the same code; an unknown one has a context of its own. Spec 30.7.2.

struct ExpectedWidths {
    private static var contractPlaces: Int { 4096 }
    private static var codePlaces: Int { 256 }

    /// 0 is not known, else the smoothed width. By account id modulo the places, then by code id.
    private let widths: UnsafeMutablePointer<UInt8>
    private let saved: UnsafeMutablePointer<UInt8>
    private static var places: Int { contractPlaces + codePlaces }

    init() {
        widths = .allocate(capacity: ExpectedWidths.places)
        saved = .allocate(capacity: ExpectedWidths.places)
        widths.initialize(repeating: 0, count: ExpectedWidths.places)
        saved.initialize(repeating: 0, count: ExpectedWidths.places)
    }

    func free() {
        widths.deallocate()
        saved.deallocate()
    }

    func reset() { widths.update(repeating: 0, count: ExpectedWidths.places) }
    func save() { saved.update(from: widths, count: ExpectedWidths.places) }
    func restore() { widths.update(from: saved, count: ExpectedWidths.places) }

    /// 0 for unknown, else 1…32.
    @inline(__always)
    func context(contract: Int, code: Int) -> Int {
        let own = widths[contract & (ExpectedWidths.contractPlaces - 1)]
        if own != 0 { return 1 + Int(own &- 1) >> 3 }
        guard code != 0 else { return 0 }
        let ofCode = widths[ExpectedWidths.contractPlaces + code & (ExpectedWidths.codePlaces - 1)]
        return ofCode == 0 ? 0 : 1 + Int(ofCode &- 1) >> 3
    }

    @inline(__always)
    func note(width: Int, contract: Int, code: Int) {
        let seen = UInt8(truncatingIfNeeded: min(width, 255))
        ExpectedWidths.smooth(&widths[contract & (ExpectedWidths.contractPlaces - 1)], seen)
        if code != 0 {
            ExpectedWidths.smooth(
                &widths[ExpectedWidths.contractPlaces + code & (ExpectedWidths.codePlaces - 1)], seen)
        }
    }

    @inline(__always)
    private static func smooth(_ width: inout UInt8, _ seen: UInt8) {
        width = width == 0 ? seen : UInt8(truncatingIfNeeded: (Int(width) * 3 + Int(seen) + 2) >> 2)
    }
}
