/// The large differences written so far in this payload, so that an equal or opposite one is an index instead of some 60
/// random bits: a payment lowers one balance by what it raises another by, and lowers an allowance by as much.
///
/// A magnitude is here once. While one contract's slots are coded, the magnitudes that came up in it are *open* (seen once)
/// or *paired* (used again); a reference names its place in one of these short lists, or else in the list of all. Pairing
/// moves an entry from open to paired, the last open one taking its place (Spec 30.7.3). Both sides keep the lists; only
/// the encoder keeps the index from magnitude to entry.

internal import MillraceBase

struct References: ~Copyable {
    /// Narrower differences cost less than the index.
    static var widthMin: Int { 24 }

    enum List: UInt32 {
        /// Only in the list of all.
        case elsewhere = 0
        case open = 1
        case paired = 2
    }

    private struct Entry: BitwiseCopyable {
        var magnitude: U256
        /// The contract (by ordinal in this payload) whose lists it is in, the list and the place there.
        var contract: UInt32
        var list: UInt32
        var place: UInt32
    }

    private var entries = Scratch<Entry>(capacity: 4096)
    private(set) var count = 0
    private var open = Scratch<UInt32>(capacity: 1024)
    private(set) var openCount = 0
    private var paired = Scratch<UInt32>(capacity: 1024)
    private(set) var pairedCount = 0
    private var contract: UInt32 = 0

    /// The encoder's index: entry + 1, open addressing. Nil on the decoder's side.
    private var index: UnsafeMutablePointer<UInt32>?
    private var indexMask = 0

    init(indexed: Bool) {
        if indexed {
            indexMask = (1 << 13) - 1
            let table = UnsafeMutablePointer<UInt32>.allocate(capacity: indexMask + 1)
            table.initialize(repeating: 0, count: indexMask + 1)
            index = table
        }
    }

    deinit { index?.deallocate() }

    mutating func removeAll() {
        if count > 0, let index { index.update(repeating: 0, count: indexMask + 1) }
        (count, openCount, pairedCount, contract) = (0, 0, 0, 0)
    }

    /// The slots of another contract follow.
    mutating func beginContract() {
        contract &+= 1
        openCount = 0
        pairedCount = 0
    }

    // MARK: Both sides

    /// A magnitude was written out: a new, open entry. The encoder owes that it is not here yet; a decoder that is sent one
    /// twice keeps both.
    @inline(__always)
    mutating func insert(_ magnitude: U256) {
        entries.grow(to: count + 1, keeping: count)
        let entry = UInt32(truncatingIfNeeded: count)
        entries.base[count] = Entry(
            magnitude: magnitude, contract: contract, list: List.open.rawValue,
            place: UInt32(truncatingIfNeeded: openCount))
        count += 1
        open.grow(to: openCount + 1, keeping: openCount)
        open.base[openCount] = entry
        openCount += 1
        if index != nil { addToIndex(entry, magnitude) }
    }

    /// The open entry at `place` was used: it is paired now.
    mutating func useOpen(_ place: Int) -> U256 {
        let entry = open.base[place]
        openCount -= 1
        let last = open.base[openCount]
        open.base[place] = last
        entries.base[Int(last)].place = UInt32(truncatingIfNeeded: place)
        pair(entry)
        return entries.base[Int(entry)].magnitude
    }

    func usePaired(_ place: Int) -> U256 { entries.base[Int(paired.base[place])].magnitude }

    /// The entry of that number, from anywhere, was used: it comes to this contract's paired ones.
    mutating func useAny(_ number: Int) -> U256 {
        let entry = entries.base[number]
        if entry.contract == contract, entry.list == List.open.rawValue { return useOpen(Int(entry.place)) }
        if entry.contract != contract { pair(UInt32(truncatingIfNeeded: number)) }
        return entry.magnitude
    }

    /// The magnitude of an entry, its lists left alone.
    func magnitude(_ number: Int) -> U256 { entries.base[number].magnitude }

    private mutating func pair(_ entry: UInt32) {
        paired.grow(to: pairedCount + 1, keeping: pairedCount)
        paired.base[pairedCount] = entry
        entries.base[Int(entry)].contract = contract
        entries.base[Int(entry)].list = List.paired.rawValue
        entries.base[Int(entry)].place = UInt32(truncatingIfNeeded: pairedCount)
        pairedCount += 1
    }

    // MARK: Encoder

    struct Found {
        var list: List
        /// The place in `list`, or the number of the entry for `elsewhere`.
        var place: Int
    }

    @inline(__always)
    func find(_ magnitude: U256) -> Found? {
        guard let index else { return nil }
        var at = References.home(magnitude) & indexMask
        while true {
            let entry = index[at]
            if entry == 0 { return nil }
            let number = Int(entry) - 1
            let found = entries.base + number
            if found.pointee.magnitude == magnitude {
                if found.pointee.contract == contract {
                    return Found(
                        list: found.pointee.list == List.open.rawValue ? .open : .paired,
                        place: Int(found.pointee.place))
                }
                return Found(list: .elsewhere, place: number)
            }
            at = (at &+ 1) & indexMask
        }
    }

    /// The number of the entry, wherever it is listed.
    func number(_ magnitude: U256) -> Int? {
        guard let index else { return nil }
        var at = References.home(magnitude) & indexMask
        while index[at] != 0 {
            let number = Int(index[at]) - 1
            if entries.base[number].magnitude == magnitude { return number }
            at = (at &+ 1) & indexMask
        }
        return nil
    }

    /// Local to the encoder and no matter of the format. A sender of transactions who aims at collisions slows the
    /// sequencer's own look-ups, at most to the number of differences in one mini-block; the multiplier spreads the rest.
    @inline(__always)
    private static func home(_ magnitude: U256) -> Int {
        var mix = (magnitude.w0 ^ magnitude.w1 &* 0xA24B_AED4_963E_E407) &* 0x9E37_79B9_7F4A_7C15
        mix ^= (magnitude.w2 &+ magnitude.w3 &* 0x9FB2_1C65_1E98_DF25) &* 0xD6E8_FEB8_6659_FD93
        return Int(truncatingIfNeeded: mix >> 32)
    }

    private mutating func addToIndex(_ entry: UInt32, _ magnitude: U256) {
        if count * 2 > indexMask { growIndex() } else { place(entry, magnitude) }
    }

    private mutating func place(_ entry: UInt32, _ magnitude: U256) {
        guard let index else { return }
        var at = References.home(magnitude) & indexMask
        while index[at] != 0 { at = (at &+ 1) & indexMask }
        index[at] = entry &+ 1
    }

    private mutating func growIndex() {
        index?.deallocate()
        indexMask = indexMask * 2 + 1
        let table = UnsafeMutablePointer<UInt32>.allocate(capacity: indexMask + 1)
        table.initialize(repeating: 0, count: indexMask + 1)
        index = table
        for i in 0..<count { place(UInt32(truncatingIfNeeded: i), entries.base[i].magnitude) }
    }
}
