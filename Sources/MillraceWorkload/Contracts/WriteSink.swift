/// Where a contract model's writes go: the builder of mini-blocks, or a test's list.

public import MillraceBase
public import MillraceDiff

public protocol WriteSink: AnyObject {
    func beginTransaction()
    func endTransaction()
    func setAccount(_ address: Address, balance: U256, nonce: UInt64)
    func setCode(_ address: Address, to code: [UInt8])
    func setSlot(_ address: Address, _ slot: U256, to value: U256, preimage: SlotPreimage)
    func destroy(_ address: Address)
}

extension DiffBuilder: WriteSink {}
