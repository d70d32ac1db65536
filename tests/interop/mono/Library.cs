// What the service keeps: sessions, upload and download handlers, folders, documents. All of it under one lock.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;

namespace Interop
{
    // The operation says no.
    public class Refusal : Exception
    {
        public Refusal(string text) : base(text) { }
    }

    public class Staged
    {
        public string Ticket;
        public bool Complete;
        public MemoryStream Bytes = new MemoryStream();
    }

    public class Version
    {
        public int Number;
        public string Comment;
        public byte[] Bytes;
        public DateTime Created = DateTime.UtcNow;
    }

    public class Document
    {
        public int Id;
        public string Path;
        public string Holder = "";
        public string Description = "";
        public List<Version> Versions = new List<Version>();
        public Version Latest { get { return Versions[Versions.Count - 1]; } }
    }

    public static class Library
    {
        public const int Smallest = 262144, Largest = 33554432;
        public static readonly object Lock = new object();
        public static readonly HashSet<string> Tickets = new HashSet<string>();
        public static readonly Dictionary<string, Staged> Handlers = new Dictionary<string, Staged>();
        public static readonly Dictionary<string, byte[]> Downloads = new Dictionary<string, byte[]>();
        static readonly StringComparer Names = StringComparer.OrdinalIgnoreCase;
        static readonly HashSet<string> folders = new HashSet<string>(Names) { "/Library", "/Finance", "/Finance/Reports" };
        static readonly Dictionary<string, Document> documents = new Dictionary<string, Document>(Names);
        static int numbers = 1000;
        static readonly uint[] table = Enumerable.Range(0, 256).Select(Entry).ToArray();

        public static string Tidy(string path)
        {
            return "/" + string.Join("/", (path ?? "").Replace('\\', '/').Split(new[] { '/' }, StringSplitOptions.RemoveEmptyEntries));
        }

        public static bool HasFolder(string path) { return folders.Contains(Tidy(path)); }

        public static void MakeFolder(string path)
        {
            var parts = Tidy(path).Substring(1).Split('/');
            if (!folders.Contains("/" + parts[0])) throw new Refusal("Library not found.");
            if (folders.Contains(Tidy(path))) throw new Refusal("Folder already exists.");
            for (var n = 1; n <= parts.Length; n++) folders.Add("/" + string.Join("/", parts.Take(n)));
        }

        public static Document Find(string path)
        {
            Document found;
            if (!documents.TryGetValue(Tidy(path), out found)) throw new Refusal("Document not found.");
            return found;
        }

        public static Version Find(string path, int number)
        {
            var found = Find(path);
            var version = number == 0 ? found.Latest : found.Versions.FirstOrDefault(one => one.Number == number);
            if (version == null) throw new Refusal("Version not found.");
            return version;
        }

        public static Staged Handler(string name, string ticket)
        {
            Guid guid;
            Staged found;
            if (!Guid.TryParse(name, out guid)) throw new Refusal("Invalid upload handler.");
            if (!Handlers.TryGetValue(guid.ToString(), out found) || found.Ticket != ticket)
                throw new Refusal("Upload handler not found or expired.");
            return found;
        }

        public static Document Store(string path, string handler, string ticket, bool create, string comment, string description)
        {
            var staged = Handler(handler, ticket);
            path = Tidy(path);
            Handlers.Remove(new Guid(handler).ToString());
            if (!staged.Complete) throw new Refusal("The upload is not complete.");
            if (!HasFolder(path.Substring(0, path.LastIndexOf('/')))) throw new Refusal("Folder not found.");
            Document found;
            if (!documents.TryGetValue(path, out found))
                documents[path] = found = new Document { Id = ++numbers, Path = path };
            else if (create) throw new Refusal("Document already exists.");
            else if (found.Holder == "") throw new Refusal("This document is not checked out.");
            if (description != null) found.Description = description;
            var version = new Version { Number = 1000000 + found.Versions.Count, Comment = comment ?? "", Bytes = staged.Bytes.ToArray() };
            found.Versions.Add(version);
            Keep(found, version);
            return found;
        }

        // For whoever wants to know what was stored without asking the service.
        static void Keep(Document document, Version version)
        {
            var folder = Path.Combine(AppDomain.CurrentDomain.BaseDirectory, "stored");
            Directory.CreateDirectory(folder);
            File.WriteAllBytes(Path.Combine(folder, document.Id + "-" + version.Number), version.Bytes);
        }

        public static uint Crc32(byte[] bytes)
        {
            var crc = 0xFFFFFFFFu;
            foreach (var one in bytes) crc = table[(crc ^ one) & 0xFF] ^ (crc >> 8);
            return ~crc;
        }

        static uint Entry(int number)
        {
            var entry = (uint)number;
            for (var bit = 0; bit < 8; bit++) entry = (entry & 1) == 1 ? 0xEDB88320 ^ (entry >> 1) : entry >> 1;
            return entry;
        }
    }
}
