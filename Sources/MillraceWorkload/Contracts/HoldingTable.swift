/// What each user holds of each token, with the storage slots it is kept in: the slots are hashed once, not at every
/// transaction (a swap would otherwise need six permutations of Keccak, more than all its other work).
///
/// Open addressing over a dense array; 112 bytes a holding and 4 to 8 of index. Holdings are never removed.

import MillraceBase

struct Holding: BitwiseCopyable {
    let user: UInt32
    let token: UInt32
    var balance: UInt128
    /// What the router may still take.
    var allowance: UInt128
    let balanceSlot: U256
    /// Zero where the chain keeps no allowances.
    let allowanceSlot: U256
}

struct HoldingTable {
    private(set) var holdings: [Holding] = []
    /// Index + 1 into `holdings`, 0 for free. A power of two, at most two thirds taken.
    private var places = [UInt32](repeating: 0, count: 1_024)
    private var shift: UInt64 = 64 - 10

    var count: Int { holdings.count }

    subscript(_ index: Int) -> Holding {
        get { holdings[index] }
        _modify { yield &holdings[index] }
    }

    func find(user: UInt32, token: UInt32) -> Int? {
        var place = home(user, token)
        while places[place] != 0 {
            let index = Int(places[place]) - 1
            if holdings[index].user == user, holdings[index].token == token { return index }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    /// Adds a holding that is not there; answers its index.
    mutating func add(_ holding: Holding) -> Int {
        if (holdings.count + 1) * 3 > places.count * 2 { grow() }
        holdings.append(holding)
        file(holdings.count)
        return holdings.count - 1
    }

    private func home(_ user: UInt32, _ token: UInt32) -> Int {
        let key = UInt64(user) << 32 | UInt64(token)
        return Int(((key ^ key >> 29) &* 0x9E37_79B9_7F4A_7C15) >> shift)
    }

    private mutating func file(_ number: Int) {
        var place = home(holdings[number - 1].user, holdings[number - 1].token)
        while places[place] != 0 { place = (place + 1) & (places.count - 1) }
        places[place] = UInt32(number)
    }

    private mutating func grow() {
        places = [UInt32](repeating: 0, count: places.count * 2)
        shift -= 1
        for number in 1...max(1, holdings.count) where number <= holdings.count { file(number) }
    }
}
