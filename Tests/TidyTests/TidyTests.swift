/// Style that a machine can see, so that reviews talk about design. Every finding names file and line.

import Foundation
import Testing

/// The package's files as text, found from this file's own place.
struct Tree {
    let root: URL

    init() {
        root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    }

    struct File {
        let path: String
        let lines: [Substring]
    }

    func files(under folders: [String], ending: String) throws -> [File] {
        var found: [File] = []
        for folder in folders {
            let base = root.appendingPathComponent(folder)
            guard let walk = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil) else {
                continue
            }
            for case let url as URL in walk where url.path.hasSuffix(ending) {
                let text = try String(contentsOf: url, encoding: .utf8)
                found.append(
                    File(
                        path: String(url.path.dropFirst(root.path.count + 1)),
                        lines: text.split(separator: "\n", omittingEmptySubsequences: false)))
            }
        }
        return found.sorted { $0.path < $1.path }
    }

    /// Lines outside comments that contain one of the words.
    func findings(in folders: [String], of words: [String]) throws -> [String] {
        var found: [String] = []
        for file in try files(under: folders, ending: ".swift") {
            for (number, line) in file.lines.enumerated() {
                let code =
                    line.split(separator: "//", maxSplits: 1, omittingEmptySubsequences: false).first ?? ""
                for word in words where code.contains(word) {
                    found.append("\(file.path):\(number + 1): \(word)")
                }
            }
        }
        return found
    }
}

let pureModules = [
    "MillraceBase", "MillraceCrypto", "MillraceErasure", "MillraceDiff", "MillraceCodec", "MillraceWorkload",
    "MillraceLink", "MillraceWire", "MillraceCore",
].map { "Sources/" + $0 }

@Test func `the core imports neither Foundation nor the C library`() throws {
    let found = try Tree().findings(
        in: pureModules,
        of: ["import Foundation", "import Glibc", "import Musl", "import Dispatch", "import Synchronization"])
    #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
}

@Test func `the core draws no randomness of the process and reads no clock`() throws {
    let found = try Tree().findings(
        in: pureModules,
        of: [
            ".shuffled()", ".randomElement()", ".hashValue", "SystemRandomNumberGenerator", "ContinuousClock",
            "Date(",
        ])
    #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
}

@Test func `nothing a peer can reach is forced`() throws {
    let found = try Tree().findings(
        in: [
            "Sources/MillraceWire", "Sources/MillraceCodec", "Sources/MillraceCore", "Sources/MillraceDiff",
        ],
        of: ["try!", "as!", "fatalError("])
    #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
}

@Test func `no unfinished work is marked in the sources`() throws {
    let found = try Tree().findings(in: ["Sources"], of: ["TODO", "FIXME", "XXX"])
    #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
    let placeholders = try Tree().files(under: ["Sources", "Tests"], ending: "Placeholder.swift").map(\.path)
    #expect(placeholders.isEmpty, "\(placeholders)")
}

@Test func `lines are short and free of tabs and trailing spaces`() throws {
    var found: [String] = []
    for file in try Tree().files(under: ["Sources", "Tests"], ending: ".swift") {
        for (number, line) in file.lines.enumerated() {
            if line.count > 130 { found.append("\(file.path):\(number + 1): \(line.count) columns") }
            if line.contains("\t") { found.append("\(file.path):\(number + 1): tab") }
            if line.last == " " { found.append("\(file.path):\(number + 1): trailing space") }
        }
    }
    #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
}

@Test func `every source file says at its top what it is`() throws {
    var found: [String] = []
    for file in try Tree().files(under: ["Sources"], ending: ".swift") {
        let comments = file.lines.prefix(40).filter { $0.drop(while: { $0 == " " }).hasPrefix("//") }
        if comments.isEmpty { found.append(file.path) }
    }
    #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
}

@Test func `every citation of the specification names a section that exists`() throws {
    let tree = Tree()
    var sections: Set<String> = []
    for chapter in try tree.files(under: ["Protocol-Spec"], ending: ".md") {
        for line in chapter.lines where line.hasPrefix("#") {
            let title = line.drop(while: { $0 == "#" || $0 == " " })
            let number = title.prefix { $0.isNumber || $0 == "." }
            if !number.isEmpty { sections.insert(String(number.last == "." ? number.dropLast() : number)) }
        }
    }
    #expect(!sections.isEmpty)
    var found: [String] = []
    for file in try tree.files(under: ["Sources"], ending: ".swift") {
        for (number, line) in file.lines.enumerated() {
            for match in line.matches(of: /Spec (\d+(?:\.\d+)+)/) where !sections.contains(String(match.1)) {
                found.append("\(file.path):\(number + 1): Spec \(match.1)")
            }
        }
    }
    #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
}

@Test func `the core's objects reference no clock, socket, thread, Foundation or system randomness`() throws {
    // The test bundle lies in the build directory whose objects are to be looked at.
    let arguments = ProcessInfo.processInfo.arguments
    let bundle = arguments.first { $0.hasSuffix(".xctest") } ?? arguments.first ?? ""
    let build = URL(fileURLWithPath: bundle).deletingLastPathComponent()
    guard FileManager.default.fileExists(atPath: build.appendingPathComponent("MillraceBase.build").path)
    else {
        print("purity: no objects beside \(bundle); run `make purity`")
        return
    }
    let process = Process()
    process.executableURL = Tree().root.appendingPathComponent("Tests/Tidy/purity")
    process.arguments = [build.path]
    let output = Pipe()
    process.standardError = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(text)")
}
