/// The builder's pending entries with their ids given, lent to the finder while a diff is sealed.

internal import MillraceBase

struct PendingWrites {
    let accounts: UnsafePointer<PendingAccount>
    let accountCount: Int
    let slots: UnsafePointer<PendingSlot>
    let slotCount: Int
    let preimages: UnsafePointer<SlotPreimage>

    init(
        accounts: UnsafeMutablePointer<PendingAccount>, accountCount: Int,
        slots: UnsafeMutablePointer<PendingSlot>, slotCount: Int,
        preimages: UnsafeMutablePointer<SlotPreimage>
    ) {
        self.accounts = UnsafePointer(accounts)
        self.accountCount = accountCount
        self.slots = UnsafePointer(slots)
        self.slotCount = slotCount
        self.preimages = UnsafePointer(preimages)
    }

    func preimage(of slot: Int) -> SlotPreimage {
        let index = slots[slot].preimage
        return index == 0 ? .none : preimages[Int(index - 1)]
    }
}
