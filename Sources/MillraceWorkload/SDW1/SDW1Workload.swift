/// An SDW1 file as a workload: the keys' values before the stream are the genesis, then come the file's transactions.
///
/// The file names its contracts' codes without carrying them: each contract gets a stand-in that names the code, and nonce
/// 1 where the file does not say otherwise. Codes, then accounts, then slots: a recording wants an account before its
/// slots.

import MillraceBase
public import MillraceDiff

public final class SDW1Workload: Workload {
    public let reader: SDW1Reader
    public let header: SDW1Header
    public var name: String { "sdw1 \(header.name)" }

    private enum Genesis {
        case contracts
        /// From this key on.
        case accounts(Int)
        case slots(Int)
        case done
    }
    private var genesis = Genesis.contracts
    private var contracts: [Address: [UInt8]] = [:]
    private var writes: [SDW1Write] = []

    public init(_ bytes: [UInt8]) throws(SDW1Error) {
        reader = try SDW1Reader(bytes)
        header = try SDW1Header(reader.headerText)
    }

    public func nextGenesisChunk(into builder: DiffBuilder) throws(WorkloadError) -> Bool {
        switch genesis {
        case .contracts:
            writeContracts(into: builder)
            genesis = .accounts(0)
            return true
        case .accounts(let first):
            let end = min(first + WorkloadLimits.genesisChunkCells, reader.keys.count)
            for key in reader.keys[first..<end] {
                guard case .account(let address, let nonce, let balance) = key, contracts[address] == nil
                else { continue }
                builder.setAccount(address, balance: balance, nonce: nonce)
            }
            genesis = end < reader.keys.count ? .accounts(end) : .slots(0)
            return true
        case .slots(let first):
            let end = min(first + WorkloadLimits.genesisChunkCells, reader.keys.count)
            for key in reader.keys[first..<end] {
                guard case .slot(let contract, let slot, let preimage, let value) = key, !value.isZero else {
                    continue
                }
                builder.setSlot(contract, slot, to: value, preimage: preimage)
            }
            genesis = end < reader.keys.count ? .slots(end) : .done
            return true
        case .done:
            return false
        }
    }

    private func writeContracts(into builder: DiffBuilder) {
        for (index, code) in header.contracts where index < reader.literals.count {
            let address = reader.literals[index]
            contracts[address] = StandInCode.bytes(named: code)
            builder.setAccount(address, balance: .zero, nonce: 1)
            builder.setCode(address, to: StandInCode.bytes(named: code))
        }
        for key in reader.keys {
            guard case .account(let address, let nonce, let balance) = key, contracts[address] != nil else {
                continue
            }
            builder.setAccount(address, balance: balance, nonce: nonce)
        }
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
