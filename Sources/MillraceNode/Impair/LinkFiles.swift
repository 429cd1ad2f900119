/// Files that a link's text names: traces. Read whole, regular files only, at most as long as a trace may be.

import Foundation
public import MillraceLink

public enum LinkFiles {
    /// The bytes of the file at `path`; hand it to `LinkText.parse(_:direction:files:)`.
    public static func read(_ path: String) throws(LinkTextError) -> [UInt8] {
        let attributes: [FileAttributeKey: Any]
        do {
            attributes = try FileManager.default.attributesOfItem(
                atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path)
        } catch { throw LinkTextError(description: "\(path): there is no such file, or it cannot be read") }
        guard attributes[.type] as? FileAttributeType == .typeRegular else {
            throw LinkTextError(description: "\(path): not a regular file")
        }
        guard let size = attributes[.size] as? Int, size <= TraceFile.bytesMax else {
            throw LinkTextError(description: "\(path): a trace has at most \(TraceFile.bytesMax >> 20) MiB")
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw LinkTextError(description: "\(path): cannot be read")
        }
        return [UInt8](data)
    }
}
