/// A measurement as one page: no scripts, no other files, for screens light and dark and for paper. Numbers are those of the
/// JSON; everything that came from outside (names of files, the command) is escaped.

import MillraceBase

struct CodecPage {
    let report: CodecReport
    /// As typed, to be run again.
    let command: String

    var html: String {
        let first = report.cadences[0]
        var body = "<h1>\(escaped(report.source))</h1>\n"
        body +=
            "<p class=\"lead\">\(number(first.transactions)) transactions in \(number(UInt64(first.payloads))) "
        body += report.units.isEmpty ? "mini-blocks" : "blocks, each on a state of its own"
        body += ", every payload decoded again and compared"
        if report.skipped > 0 { body += "; \(number(report.skipped)) before them coded and not counted" }
        if report.bridges > 0 { body += "; \(report.bridges) bridges left out" }
        body += ". \(escaped(report.coldText.prefix(1).uppercased() + report.coldText.dropFirst())).</p>\n"
        body += headline(first)
        body += columns(first)
        if report.cadences.count > 1 { body += ratios() }
        body += comparison(first)
        if let estimate = report.estimate { body += source(estimate) }
        body += profile()
        if !report.units.isEmpty { body += blocks() }
        body += "<h2>Again</h2>\n<pre>\(escaped(command))</pre>\n"
        return Page(title: "Codec: \(report.source)", body: body).html
    }

    // MARK: Parts

    private func headline(_ first: CodecReport.CadenceFigures) -> String {
        func figure(_ value: String, _ unit: String, _ what: String) -> String {
            "<div><strong>\(value)</strong> <span>\(unit)</span><small>\(what)</small></div>\n"
        }
        var out = "<div class=\"figures\">\n"
        out += figure(fixed(first.bytesPerTx, 2), "B/tx", "payload, \(period(first.name))")
        out += figure(fixed(first.mbitPerSec, 2), "Mbit/s", "at 100,000 transactions a second")
        out += figure(
            fixed(first.ratioToRaw, 1) + "×", "", "less than raw, \(fixed(first.rawBytesPerTx, 1)) B/tx")
        out += figure(rate(first.encodeTPS), "tx/s", "encoded on one core")
        out += figure(rate(first.decodeTPS), "tx/s", "decoded and applied on one core")
        return out + "</div>\n"
    }

    private func columns(_ first: CodecReport.CadenceFigures) -> String {
        let shown = first.columns.filter { $0.bitsPerTx >= 0.005 }.sorted { $0.bitsPerTx > $1.bitsPerTx }
        let most = shown.first?.bitsPerTx ?? 1
        let rows = shown.map {
            bar(words($0.name), $0.bitsPerTx / most, "\(fixed($0.bitsPerTx, 2)) bit")
        }
        return section(
            "Bits per transaction by column",
            "Where the payload of \(period(first.name)) goes; \(fixed(first.bytesPerTx * 8, 1)) bits in all.",
            rows)
    }

    private func ratios() -> String {
        let most = report.cadences.map(\.ratioToRaw).max() ?? 1
        let rows = report.cadences.map {
            bar(
                "\($0.name), \(period($0.name))", $0.ratioToRaw / most,
                "\(fixed($0.ratioToRaw, 1))×, \(fixed($0.bytesPerTx, 2)) B/tx")
        }
        return section(
            "Ratio by cadence", "Raw bytes over payload bytes. A coarser cadence merges more and is staler.",
            rows)
    }

    private func comparison(_ first: CodecReport.CadenceFigures) -> String {
        var rows: [[String]] = [
            [
                "this codec, \(period(first.name))", fixed(first.bytesPerTx, 2),
                fixed(first.ratioToRaw, 1) + "×",
                realTime(first.encodeTPS),
            ]
        ]
        for peer in report.peers {
            rows.append([
                escaped(peer.name), fixed(peer.bytesPerTx, 2),
                fixed(first.rawBytesPerTx / max(peer.bytesPerTx, 1e-9), 1) + "×", realTime(peer.tps),
            ])
        }
        if let entropy = report.orderZeroBytesPerTx {
            rows.append([
                "order-0 entropy of the merged diffs' bytes", fixed(entropy, 2),
                fixed(first.rawBytesPerTx / max(entropy, 1e-9), 1) + "×", "",
            ])
        }
        rows.append([
            "merged, not compressed", fixed(first.mergedBytesPerTx, 2),
            fixed(first.rawBytesPerTx / max(first.mergedBytesPerTx, 1e-9), 1) + "×", "",
        ])
        if let estimate = report.estimate {
            rows.append([
                "source entropy, estimated from the operations", fixed(estimate.bytesPerTx, 2),
                fixed(first.rawBytesPerTx / max(estimate.bytesPerTx, 1e-9), 1) + "×", "",
            ])
        }
        let head = ["", "B/tx", "less than raw", "one core, times 100,000 tx/s"]
        return
            "<section>\n<h2>\(report.peers.isEmpty ? "Beside others" : "Beside zstd, in the same run")</h2>\n"
            + (report.peers.isEmpty
                ? ""
                : "<p>zstd gets the merged diffs’ keys and values: each alone, or all as one stream with a window of "
                    + "128 MiB.</p>\n")
            + table(head, rows) + "</section>\n"
    }

    private func source(_ estimate: SourceEstimate) -> String {
        let rows = estimate.parts.map { [escaped($0.name), fixed($0.bitsPerTx, 2), escaped($0.how)] }
        return "<section>\n<h2>What the source is worth</h2>\n"
            + "<p>Bits per transaction if transactions were independent draws, estimated from the operations of "
            + "\(fixed(estimate.understoodShare * 100, 1)) % of them. About what any coder has to send.</p>\n"
            + table(["", "bit/tx", "law"], rows) + "</section>\n"
    }

    private func profile() -> String {
        var out = ""
        for (side, title) in [
            ("encode.", "Time of a core, encoding"), ("decode.", "Time of a core, decoding"),
        ] {
            let lines = report.profile.filter { $0.stage.hasPrefix(side) && $0.share >= 0.001 }
            let most = lines.map(\.share).max() ?? 1
            out += section(
                title, "",
                lines.sorted { $0.share > $1.share }.map {
                    bar(
                        words(String($0.stage.dropFirst(side.count))), $0.share / most,
                        "\(fixed($0.nanosecondsPerTx, 0)) ns/tx, \(fixed($0.share * 100, 1)) %")
                })
        }
        return "<div class=\"pair\">\n\(out)</div>\n"
    }

    private func blocks() -> String {
        let median = report.medianRatioToRaw.map { "Median \(fixed($0, 2))× less than raw." } ?? ""
        let rows = report.units.map {
            [
                escaped($0.name), number($0.transactions), number($0.rawBytes),
                number(UInt64($0.payloadBytes)),
                fixed($0.ratioToRaw, 2) + "×",
            ]
        }
        return "<section>\n<h2>Block by block</h2>\n<p>\(median)</p>\n"
            + table(["block", "transactions", "raw bytes", "payload bytes", "less than raw"], rows)
            + "</section>\n"
    }

    // MARK: Pieces

    private func section(_ title: String, _ text: String, _ rows: [String]) -> String {
        "<section>\n<h2>\(title)</h2>\n" + (text.isEmpty ? "" : "<p>\(text)</p>\n")
            + "<table class=\"bars\">\n\(rows.joined())</table>\n</section>\n"
    }

    /// `share` is of the longest bar.
    private func bar(_ name: String, _ share: Double, _ value: String) -> String {
        let width = decimal(max(0, min(1, share)) * 100, 1)
        return
            "<tr><th>\(escaped(name))</th><td><i style=\"width:\(width)%\"></i></td><td>\(value)</td></tr>\n"
    }

    /// The first cell of a row is its name.
    private func table(_ head: [String], _ rows: [[String]]) -> String {
        var out = "<table class=\"numbers\">\n<tr>" + head.map { "<th>\($0)</th>" }.joined() + "</tr>\n"
        for row in rows {
            out += "<tr><th>\(row[0])</th>" + row.dropFirst().map { "<td>\($0)</td>" }.joined() + "</tr>\n"
        }
        return out + "</table>\n"
    }

    private func period(_ cadence: String) -> String {
        if !report.units.isEmpty { return "block by block" }
        return ["c0": "10 ms", "c1": "100 ms", "c2": "1 s", "c3": "10 s"][cadence] ?? escaped(cadence)
    }

    private func realTime(_ tps: Double) -> String { fixed(tps / CodecReport.realTimeTPS, 2) + "×" }

    private func fixed(_ value: Double, _ digits: Int) -> String { Page.fixed(value, digits) }

    /// Three digits that matter.
    private func rate(_ tps: Double) -> String {
        tps >= 1e6 ? fixed(tps / 1e6, 2) + " M" : fixed(tps / 1e3, 0) + " k"
    }

    private func number(_ value: UInt64) -> String { Page.grouped(value) }

    /// `slotValues` as `slot values`.
    private func words(_ name: String) -> String {
        var out = ""
        for character in name {
            if character.isUppercase { out += " " }
            out += character.lowercased()
        }
        return out.replacing(".", with: " ")
    }

    private func escaped(_ text: some StringProtocol) -> String { Page.escape(text) }
}
