/// Real data for tests: recorded blocks, workload files, link traces. It is not part of the project (licences), so a
/// test that needs it asks here and, when it is absent, says so plainly and ends.

public import Foundation

public enum TestData {
    /// The package's root, from this file's own place.
    public static let packageRoot = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// `MILLRACE_DATA`, or `../shared/data` beside the package.
    public static var root: URL {
        if let path = ProcessInfo.processInfo.environment["MILLRACE_DATA"], !path.isEmpty {
            return URL(fileURLWithPath: path)
        }
        return packageRoot.deletingLastPathComponent().appendingPathComponent("shared/data")
    }

    /// The file or folder at `path` below the data root, or nil after printing that it is absent.
    public static func url(_ path: String) -> URL? {
        let url = root.appendingPathComponent(path)
        if FileManager.default.fileExists(atPath: url.path) { return url }
        print("skipped: no test data at \(path) (set MILLRACE_DATA)")
        return nil
    }

    /// The files of a folder with one of the endings, sorted by name; empty (said once) when the folder is absent.
    public static func files(in folder: String, ending: String) -> [URL] {
        guard let url = url(folder) else { return [] }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
        return names.filter { $0.hasSuffix(ending) }.sorted().map { url.appendingPathComponent($0) }
    }
}
