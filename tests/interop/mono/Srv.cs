// The upload protocol as a web service of ASP.NET's own. How requests are bound, and what is said to those that cannot
// be, is the framework's work: here is only what an operation does.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Web.Services;
using System.Xml;

namespace Interop
{
    [WebService(Namespace = "http://tempuri.org/", Name = "srv")]
    public class Srv : WebService
    {
        // ── sessions ──

        [WebMethod]
        public XmlNode AuthenticateUser(string UID, string PWD) { return Answer("response", () => SignIn(UID, PWD)); }

        [WebMethod]
        public XmlNode AuthenticateUser1(string UID, string PWD, string Lang) { return Answer("response", () => SignIn(UID, PWD)); }

        [WebMethod]
        public XmlNode RenewTicket(string UID, string PWD, string Lang, string OldTicket) { return Answer("root", () => SignIn(UID, PWD)); }

        [WebMethod]
        public XmlNode isValidTicket(string AuthenticationTicket)
        {
            return Answer("response", () => { Require(AuthenticationTicket); return Profile(); });
        }

        [WebMethod]
        public XmlNode LogOut(string AuthenticationTicket)
        {
            return Answer("root", () => { Require(AuthenticationTicket); Library.Tickets.Remove(AuthenticationTicket); return None(); });
        }

        [WebMethod]
        public XmlNode ServerInfo()
        {
            return Answer("root", () => Attributes("VersionNumber", "8.1.155", "Coordinated_Universal_Time", Written(DateTime.UtcNow), "ServerName", "peer"));
        }

        // ── folders ──

        [WebMethod]
        public XmlNode FolderExists(string AuthenticationTicket, string Path)
        {
            return Answer("response", () =>
            {
                Require(AuthenticationTicket);
                if (!Library.HasFolder(Path)) throw new Refusal("Folder not found.");
                return None();
            });
        }

        [WebMethod]
        public XmlNode CreateFolder(string AuthenticationTicket, string Path)
        {
            return Answer("response", () => { Require(AuthenticationTicket); Library.MakeFolder(Path); return Attributes("FolderId", "1", "FolderName", Path); });
        }

        [WebMethod]
        public XmlNode GetFolderRules(string AuthenticationTicket, string Path)
        {
            return Answer("response", () =>
            {
                Require(AuthenticationTicket);
                if (!Library.HasFolder(Path)) throw new Refusal("Folder not found.");
                return None();
            }, root => Rules(root));
        }

        // ── bringing ──

        [WebMethod]
        public XmlNode CreateUploadHandler(string AuthenticationTicket, int PreferedChunkSize)
        {
            return Answer("response", () =>
            {
                var name = Guid.NewGuid().ToString();
                Library.Handlers[name] = new Staged { Ticket = AuthenticationTicket };
                return Attributes("error", "", "UploadHandler", name, "ChunkSize", Granted(PreferedChunkSize));
            });
        }

        [WebMethod]
        public XmlNode UploadFileChunk(string AuthenticationTicket, string UploadHandler, byte[] FileChunk, string ChunkHEXCRC, bool LastChunk)
        {
            return Answer("root", () =>
            {
                Require(AuthenticationTicket);
                var staged = Library.Handler(UploadHandler, AuthenticationTicket);
                if (staged.Complete) throw new Refusal("The upload is complete.");
                uint crc;
                if (!uint.TryParse(ChunkHEXCRC, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out crc) || crc != Library.Crc32(FileChunk))
                    return Attributes("success", "false", "tryagain", "true", "error", "The checksum is wrong.");
                staged.Bytes.Write(FileChunk, 0, FileChunk.Length);
                staged.Complete = LastChunk;
                var said = Attributes("tryagain", "false");
                if (LastChunk) said.Add("filehexcrc", Library.Crc32(staged.Bytes.ToArray()).ToString("X"));
                return said;
            });
        }

        [WebMethod]
        public XmlNode DeleteUploadHandler(string AuthenticationTicket, string UploadHandler)
        {
            return Answer("response", () =>
            {
                Guid guid;
                if (!Guid.TryParse(UploadHandler, out guid)) throw new Refusal("bad Request");
                Require(AuthenticationTicket);
                Library.Handlers.Remove(guid.ToString());
                return None();
            });
        }

        [WebMethod]
        public XmlNode UploadDocumentWithHandler(string AuthenticationTicket, string Path, string UploadHandler)
        {
            return Stored(AuthenticationTicket, Path, UploadHandler, "", false);
        }

        [WebMethod]
        public XmlNode UploadDocumentWithHandler1(string AuthenticationTicket, string Path, string UploadHandler, string VersionComments)
        {
            return Stored(AuthenticationTicket, Path, UploadHandler, VersionComments, false);
        }

        [WebMethod]
        public XmlNode UploadDocumentWithHandler2(string AuthenticationTicket, string Path, string UploadHandler, string VersionComments, short MPVersionMajor, short MPVersionMinor, short MPVersionRevision)
        {
            return Stored(AuthenticationTicket, Path, UploadHandler, VersionComments, false);
        }

        [WebMethod]
        public XmlNode UploadDocumentWithHandler3(string AuthenticationTicket, string Path, string UploadHandler, string xmlParameters)
        {
            var given = Parameters(xmlParameters);
            return Stored(AuthenticationTicket, Path, UploadHandler, Given(given, "VERSIONCOMMENT") ?? "", false, Given(given, "DESCRIPTION"));
        }

        [WebMethod]
        public XmlNode UploadNewDocumentWidthHandler(string AuthenticationTicket, string FolderPath, string DocumentName, string UploadHandler, string xmlParameters)
        {
            var given = Parameters(xmlParameters);
            return Stored(AuthenticationTicket, FolderPath + "/" + DocumentName, UploadHandler, Given(given, "VERSIONCOMMENT") ?? "", true, Given(given, "DESCRIPTION"));
        }

        // ── looking ──

        [WebMethod]
        public XmlNode DocumentExists(string AuthenticationTicket, string Path)
        {
            return Answer("response", () =>
            {
                Require(AuthenticationTicket);
                return Attributes("CRC32LASTVERSION", Checksum(Library.Find(Path).Latest), "CRC32", "");
            });
        }

        [WebMethod]
        public XmlNode GetDocument(string AuthenticationTicket, string Path, bool withPropertySets, bool withSecurity, bool withOwner, bool withVersions)
        {
            Document found = null;
            return Answer("response", () => { Require(AuthenticationTicket); found = Library.Find(Path); return Attributes("error", ""); }, root =>
                Inside(root, "document", Attributes(
                    "DocumentID", found.Id.ToString(), "Name", found.Path.Substring(found.Path.LastIndexOf('/') + 1),
                    "Size", found.Latest.Bytes.Length.ToString(), "CheckoutBy", found.Holder == "" ? "" : "2",
                    "CheckoutByUserName", found.Holder, "Description", found.Description, "VersionNumber", found.Latest.Number.ToString())));
        }

        [WebMethod]
        public XmlNode GetDocumentVersions(string AuthenticationTicket, string Path)
        {
            Document found = null;
            return Answer("response", () => { Require(AuthenticationTicket); found = Library.Find(Path); return Attributes("error", ""); }, root =>
            {
                var all = Inside(root, "Versions", None());
                foreach (var version in found.Versions)
                {
                    var one = Inside(all, "Version", Attributes("Number", version.Number.ToString()));
                    Inside(one, "VersionSize", None()).InnerText = version.Bytes.Length.ToString();
                    Inside(one, "DateCreated", None()).InnerText = Written(version.Created);
                    Inside(one, "DatePublished", None());
                    Inside(one, "Comment", None()).InnerText = version.Comment;
                }
            });
        }

        [WebMethod]
        public XmlNode Lock(string AuthenticationTicket, string Path)
        {
            return Answer("response", () =>
            {
                Require(AuthenticationTicket);
                var found = Library.Find(Path);
                if (found.Holder != "") throw new Refusal("Already checked out by you");
                found.Holder = "demo";
                return Attributes("error", "");
            });
        }

        [WebMethod]
        public XmlNode UnLock(string AuthenticationTicket, string Path, bool force)
        {
            return Answer("response", () =>
            {
                Require(AuthenticationTicket);
                var found = Library.Find(Path);
                if (found.Holder == "") throw new Refusal("The document is not checked out.");
                found.Holder = "";
                return Attributes("error", "");
            });
        }

        // ── fetching ──

        [WebMethod]
        public XmlNode GetDownloadInfo(string AuthenticationTicket, string Path)
        {
            return Answer("response", () => { Require(AuthenticationTicket); return Facts(Path, 0); });
        }

        [WebMethod]
        public XmlNode GetDownloadInfoByVersion(string AuthenticationTicket, string Path, int VersionNumber)
        {
            return Answer("response", () => { Require(AuthenticationTicket); return Facts(Path, VersionNumber); });
        }

        [WebMethod]
        public XmlNode GetDownloadHandler(string AuthenticationTicket, string Path, int PreferedChunkSize)
        {
            return Answer("response", () => { Require(AuthenticationTicket); return Opened(Path, PreferedChunkSize, 0); });
        }

        [WebMethod]
        public XmlNode GetDownloadHandlerByVersion(string AuthenticationTicket, string Path, int PreferedChunkSize, int VersionNumber)
        {
            return Answer("response", () => { Require(AuthenticationTicket); return Opened(Path, PreferedChunkSize, VersionNumber); });
        }

        [WebMethod]
        public XmlNode DownloadFileChunk(string AuthenticationTicket, string DownloadHandler, int StartOffset, int ChunkSize)
        {
            var part = new byte[0];
            return Answer("response", () =>
            {
                Require(AuthenticationTicket);
                byte[] bytes;
                if (!Library.Downloads.TryGetValue(DownloadHandler, out bytes)) throw new Refusal("Invalid download handler.");
                part = bytes.Skip(StartOffset).Take(ChunkSize).ToArray();
                return Attributes(
                    "filelength", bytes.Length.ToString(), "chunklength", part.Length.ToString(),
                    "lastchunk", StartOffset + part.Length >= bytes.Length ? "true" : "false", "chunkCRC32", Library.Crc32(part).ToString("x8"));
            }, root => root.InnerText = Convert.ToBase64String(part));
        }

        [WebMethod]
        public XmlNode DeleteDownloadHandler(string AuthenticationTicket, string DownloadHandler)
        {
            return Answer("response", () => { Require(AuthenticationTicket); Library.Downloads.Remove(DownloadHandler); return None(); });
        }

        // ── what they have in common ──

        static XmlNode Stored(string ticket, string path, string handler, string comment, bool create, string description = null)
        {
            return Answer("root", () =>
            {
                Require(ticket);
                var stored = Library.Store(path, handler, ticket, create, comment, description);
                return Attributes("DocumentId", stored.Id.ToString(), "VersionId", stored.Latest.Number.ToString());
            });
        }

        static Dictionary<string, string> SignIn(string user, string password)
        {
            if (!"demo".Equals(user, StringComparison.OrdinalIgnoreCase) || password != "demo") throw new Refusal("[900] Authentication failed");
            var ticket = Guid.NewGuid().ToString();
            Library.Tickets.Add(ticket);
            var said = Profile();
            said.Add("ticket", ticket);
            return said;
        }

        static Dictionary<string, string> Profile()
        {
            return Attributes("userid", "2", "username", "demo", "fullname", "Demo", "isAuthenticated", "True");
        }

        static void Require(string ticket)
        {
            if (ticket == null || !Library.Tickets.Contains(ticket)) throw new Refusal("[901] Session expired or Invalid ticket");
        }

        static string Granted(int wish) { return (wish == 0 ? Library.Smallest : Math.Min(Math.Max(wish, Library.Smallest), Library.Largest)).ToString(); }

        static Dictionary<string, string> Facts(string path, int number)
        {
            var version = Library.Find(path, number);
            return Attributes(
                "Size", version.Bytes.Length.ToString(), "VersionNumber", version.Number.ToString(),
                "RenderedContent", "false", "CRC32", Checksum(version));
        }

        static Dictionary<string, string> Opened(string path, int wish, int number)
        {
            var said = Facts(path, number);
            var name = Guid.NewGuid().ToString();
            Library.Downloads[name] = Library.Find(path, number).Bytes;
            said.Add("ChunkSize", Granted(wish));
            said.Add("downloadhandler", name);
            return said;
        }

        static void Rules(XmlElement root)
        {
            var rules = Inside(root, "Rules", None());
            Inside(rules, "Rule", Attributes("Name", "AllowableFileTypes", "Value", "*"));
            foreach (var name in new[] { "Checkins", "Checkouts", "NewDocuments" })
                Inside(rules, "Rule", Attributes("Name", name, "Value", "allows"));
        }

        // Whatever the elements are called: a name in `key` or `name`, a value in `value` or as text.
        static Dictionary<string, string> Parameters(string xml)
        {
            var document = new XmlDocument { XmlResolver = null };
            document.LoadXml(xml);
            var found = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
            foreach (var one in document.DocumentElement.ChildNodes.OfType<XmlElement>())
            {
                var given = one.Attributes.Cast<XmlAttribute>().ToDictionary(each => each.Name, each => each.Value, StringComparer.OrdinalIgnoreCase);
                found[Given(given, "key") ?? Given(given, "name") ?? ""] = Given(given, "value") ?? one.InnerText;
            }
            return found;
        }

        static string Given(Dictionary<string, string> all, string name)
        {
            string found;
            return all.TryGetValue(name, out found) ? found : null;
        }

        static string Checksum(Version version) { return Library.Crc32(version.Bytes).ToString("x8"); }

        static string Written(DateTime moment) { return moment.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture); }

        static Dictionary<string, string> None() { return new Dictionary<string, string>(); }

        static Dictionary<string, string> Attributes(params string[] pairs)
        {
            var found = None();
            for (var n = 0; n < pairs.Length; n += 2) found.Add(pairs[n], pairs[n + 1]);
            return found;
        }

        static XmlElement Inside(XmlElement parent, string name, Dictionary<string, string> attributes)
        {
            var made = parent.OwnerDocument.CreateElement(name);
            foreach (var one in attributes) made.SetAttribute(one.Key, one.Value);
            parent.AppendChild(made);
            return made;
        }

        // One document: the attributes of its root; `inside` writes what stands within.
        static XmlNode Answer(string name, Func<Dictionary<string, string>> act, Action<XmlElement> inside = null)
        {
            var root = new XmlDocument().CreateElement(name);
            lock (Library.Lock)
            {
                try
                {
                    var said = act();
                    if (!said.ContainsKey("success")) root.SetAttribute("success", "true");
                    foreach (var one in said) root.SetAttribute(one.Key, one.Value);
                    if (inside != null) inside(root);
                }
                catch (Refusal refusal)
                {
                    // As the older pages print what folders say: no word of success at all.
                    if (refusal.Message != "Folder not found.") root.SetAttribute("success", "false");
                    root.SetAttribute("error", refusal.Message);
                }
            }
            return root;
        }
    }
}
