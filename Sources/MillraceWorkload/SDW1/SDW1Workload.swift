/// An SDW1 file as a workload: the state before the stream is the genesis, then come the file's transactions. Spec 75.5.2.
///
/// The file has values only for the keys its transactions write, and names its contracts' codes without carrying them. So
/// each contract gets a stand-in that names the code, and nonce 1 where the file does not say otherwise; and each user
/// of before the stream that a key names gets an account, since it is known on the chain whose stream this is. Accounts are
/// written in order of address and slots in order of contract and number over the whole file: their ids say as little
/// about the stream as those of a long-lived state would.

import MillraceBase
public import MillraceDiff

public final class SDW1Workload: Workload {
    /// What a user has where the file does not say: 1 ether.
    static let userBalance: U256 = 1_000_000_000_000_000_000

    public let reader: SDW1Reader
    public let header: SDW1Header
    public var name: String { "sdw1 \(header.name)" }

    private struct GenesisAccount {
        let address: Address
        let balance: U256
        let nonce: UInt64
        /// None for no code.
        var code: [UInt8] = []
    }
    private enum Genesis {
        case unsorted
        /// From this one on.
        case accounts([GenesisAccount], Int)
        /// Indices of the reader's keys.
        case slots([Int], Int)
        case done
    }
    private var genesis = Genesis.unsorted
    private var writes: [SDW1Write] = []

    public init(_ bytes: [UInt8]) throws(SDW1Error) {
        reader = try SDW1Reader(bytes)
        header = try SDW1Header(reader.headerText)
    }

    public func nextGenesisChunk(into builder: DiffBuilder) throws(WorkloadError) -> Bool {
        switch genesis {
        case .unsorted:
            genesis = .accounts(genesisAccounts(), 0)
            return try nextGenesisChunk(into: builder)
        case .accounts(let accounts, let first):
            let end = min(first + WorkloadLimits.genesisChunkCells, accounts.count)
            for account in accounts[first..<end] {
                builder.setAccount(account.address, balance: account.balance, nonce: account.nonce)
                if !account.code.isEmpty { builder.setCode(account.address, to: account.code) }
            }
            genesis = end < accounts.count ? .accounts(accounts, end) : .slots(genesisSlots(), 0)
            return true
        case .slots(let slots, let first):
            let end = min(first + WorkloadLimits.genesisChunkCells, slots.count)
            for index in slots[first..<end] {
                guard case .slot(let contract, let slot, let preimage, let value) = reader.keys[index] else {
                    continue
                }
                builder.setSlot(contract, slot, to: value, preimage: preimage)
            }
            genesis = end < slots.count ? .slots(slots, end) : .done
            return true
        case .done:
            return false
        }
    }

    /// Contracts, the file's accounts and the users it only names, by address.
    private func genesisAccounts() -> [GenesisAccount] {
        // Looked up only.
        var codes: [Address: [UInt8]] = [:]
        for (index, code) in header.contracts where index < reader.literals.count {
            codes[reader.literals[index]] = StandInCode.bytes(named: code)
        }
        var accounts: [GenesisAccount] = []
        var written: Set<Address> = []
        for case .account(let address, let nonce, let balance) in reader.keys
        where written.insert(address).inserted {
            accounts.append(
                GenesisAccount(address: address, balance: balance, nonce: nonce, code: codes[address] ?? []))
        }
        for (index, _) in header.contracts where index < reader.literals.count {
            let address = reader.literals[index]
            guard written.insert(address).inserted else { continue }
            accounts.append(
                GenesisAccount(address: address, balance: .zero, nonce: 1, code: codes[address] ?? []))
        }
        for (number, address) in reader.derived
        where number < header.users && written.insert(address).inserted {
            accounts.append(GenesisAccount(address: address, balance: SDW1Workload.userBalance, nonce: 0))
        }
        return accounts.sorted { $0.address < $1.address }
    }

    /// The slots with a value before the stream, by contract and number.
    private func genesisSlots() -> [Int] {
        var slots: [(contract: Address, slot: U256, index: Int)] = []
        for (index, key) in reader.keys.enumerated() {
            guard case .slot(let contract, let slot, _, let value) = key, !value.isZero else { continue }
            slots.append((contract, slot, index))
        }
        slots.sort { a, b in
            if a.contract != b.contract { return a.contract < b.contract }
            return a.slot != b.slot ? a.slot < b.slot : a.index < b.index
        }
        return slots.map(\.index)
    }

    public func nextTransaction(into builder: DiffBuilder) throws(WorkloadError) -> Bool {
        do throws(SDW1Error) {
            guard try reader.next(into: &writes) else { return false }
        } catch {
            throw WorkloadError(error.description)
        }
        builder.beginTransaction()
        for write in writes {
            switch (reader.keys[write.key], write.value) {
            case (.account(let address, _, _), .account(let nonce, let balance)):
                builder.setAccount(address, balance: balance, nonce: nonce)
            case (.slot(let contract, let slot, let preimage, _), .slot(let value)):
                builder.setSlot(contract, slot, to: value, preimage: preimage)
            case (.account, .slot), (.slot, .account):
                preconditionFailure("the reader gave key \(write.key) a value of the other kind")
            }
        }
        builder.endTransaction()
        return true
    }
}
