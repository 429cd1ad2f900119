/// The order in which slot values are coded: contract by contract, contracts by their first slot, slots by id. Changes of
/// one token then stand together, and a reference to a payment is an index into a short list. Spec 30.7.1.

internal import MillraceDiff

struct ContractGroups: ~Copyable {
    /// Indices of changes, grouped.
    private(set) var order = Scratch<UInt32>(capacity: 1024)
    /// Where group `g` ends in `order`.
    private(set) var ends = Scratch<UInt32>(capacity: 256)
    private(set) var count = 0

    private var ordinals = Scratch<UInt32>(capacity: 1024)
    /// account << 32 | ordinal + 1, open addressing; cleared for each payload.
    private var table = Scratch<UInt64>(capacity: 1024)

    /// Groups `total` changes by the account of each.
    mutating func build(_ accounts: UnsafePointer<UInt32>, count total: Int) {
        order.ensure(total)
        ordinals.ensure(total)
        ends.ensure(total)
        var places = 64
        while places < total * 2 { places *= 2 }
        table.ensure(places)
        let (order, ordinals, ends, table) = (order.base, ordinals.base, ends.base, table.base)
        table.update(repeating: 0, count: places)
        let mask = places - 1

        count = 0
        for i in 0..<total {
            let account = UInt64(accounts[i])
            var at = Int(truncatingIfNeeded: (account &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
            while true {
                let entry = table[at]
                if entry == 0 {
                    ends[count] = 1
                    ordinals[i] = UInt32(truncatingIfNeeded: count)
                    count &+= 1
                    table[at] = account << 32 | UInt64(count)
                    break
                }
                if entry >> 32 == account {
                    let ordinal = Int(truncatingIfNeeded: entry & 0xFFFF_FFFF) &- 1
                    ordinals[i] = UInt32(truncatingIfNeeded: ordinal)
                    ends[ordinal] &+= 1
                    break
                }
                at = (at &+ 1) & mask
            }
        }
        // Sizes to starts; filling moves each start to its group's end.
        var sum: UInt32 = 0
        for g in 0..<count {
            let size = ends[g]
            ends[g] = sum
            sum &+= size
        }
        for i in 0..<total {
            let g = Int(ordinals[i])
            order[Int(ends[g])] = UInt32(truncatingIfNeeded: i)
            ends[g] &+= 1
        }
    }
}
