import CMillraceShims
import Glibc

/// Asks a node on this machine: connects to its unix socket and reads what it says to the end. Blocks the thread; for verbs
/// that do nothing else.
public enum UnixQuestion {
    public static let answerBytesMax = 16 << 20

    /// Everything the other side writes until it closes, within `milliseconds` from byte to byte.
    public static func answer(at path: String, milliseconds: Int32 = 5_000) throws(LoopError) -> [UInt8] {
        let descriptor = mr_unix_connect(path)
        guard descriptor >= 0 else { throw LoopError(descriptor, "no node answers at \(path)") }
        defer { mr_close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&wanted, 1, milliseconds)
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { throw LoopError(-ETIMEDOUT, "the node at \(path) does not answer") }
            let count = chunk.withUnsafeMutableBytes { mr_read(descriptor, $0.baseAddress, $0.count) }
            if count == -Int(EAGAIN) { continue }
            guard count >= 0 else { throw LoopError(Int32(clamping: count), "the node at \(path) broke off") }
            if count == 0 { return bytes }
            bytes += chunk.prefix(count)
            guard bytes.count <= answerBytesMax else {
                throw LoopError(-EMSGSIZE, "the node at \(path) does not end")
            }
        }
    }
}
