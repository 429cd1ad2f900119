/// Where `measure` takes diffs from: a recording as it is, or a workload file merged into mini-blocks on the way.

import MillraceBase
import MillraceDiff
import MillraceRecording
import MillraceWorkload

/// Diffs in order, genesis first. `state` is for the stream's own use and always stands before the diff to come; the caller
/// applies what it gets to it.
protocol DiffStream: AnyObject {
    var state: State { get }
    /// Replaces `diff` by the next one; false at the end.
    func next(into diff: inout StateDiff) throws -> Bool
}

/// A recording's diffs, mini-blocks as recorded.
final class RecordedStream: DiffStream {
    let state = State(seed: Seed(1))
    private let reader: RecordingReader

    init(path: String) throws { reader = try RecordingReader(path: path) }

    func next(into diff: inout StateDiff) throws -> Bool {
        if try reader.nextDiff(into: &diff) { return true }
        if let torn = reader.tornTail { note("millrace: \(torn.message)") }
        return false
    }
}

/// The transactions of an SDW1 file, so many to a mini-block. Keys that have a value before the stream are one genesis
/// diff: ids then follow addresses and slot numbers, and tell nothing of when a key is touched first.
final class WorkloadFileStream: DiffStream {
    let state = State(seed: Seed(1))
    private let reader: SDW1Reader
    private let builder: DiffBuilder
    private let perMiniBlock: Int
    private var height: UInt64 = 0
    private var gaveGenesis = false
    private var writes: [SDW1Write] = []

    init(path: String, perMiniBlock: Int) throws {
        let bytes = try InputFile.readAll(path: path, limit: 1 << 32)
        do {
            reader = try SDW1Reader(bytes)
        } catch {
            throw Failure(.failed, "\(path): \(error)")
        }
        self.perMiniBlock = perMiniBlock
        builder = DiffBuilder(state: state)
    }

    func next(into diff: inout StateDiff) throws -> Bool {
        if !gaveGenesis {
            gaveGenesis = true
            for key in reader.keys {
                switch key {
                case .account(let address, let nonce, let balance):
                    builder.setAccount(address, balance: balance, nonce: nonce)
                case .slot(let contract, let slot, let preimage, let value):
                    builder.setSlot(contract, slot, to: value, preimage: preimage)
                }
            }
            builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
            return true
        }
        var count = 0
        while count < perMiniBlock, try reader.next(into: &writes) {
            builder.beginTransaction()
            for write in writes {
                switch (reader.keys[write.key], write.value) {
                case (.account(let address, _, _), .account(let nonce, let balance)):
                    builder.setAccount(address, balance: balance, nonce: nonce)
                case (.slot(let contract, let slot, let preimage, _), .slot(let value)):
                    builder.setSlot(contract, slot, to: value, preimage: preimage)
                case (.account, .slot), (.slot, .account):
                    throw Failure(
                        .failed, "key \(write.key) of the file is written as another kind than it is")
                }
            }
            builder.endTransaction()
            count += 1
        }
        if count == 0 { return false }
        height += 1
        builder.seal(
            kind: .transactions, firstHeight: height, lastHeight: height,
            sealedAtMicroseconds: height * 10_000,
            into: &diff)
        return true
    }
}
