// Mono's web server for ASP.NET, reduced to what a test wants: the application in the folder, at one port of this machine.
// It only carries bytes to and fro between Mono's HttpListener and Mono's System.Web.
using System;
using System.IO;
using System.Net;
using System.Threading;
using System.Web;
using System.Web.Hosting;

namespace Interop
{
    public class Host : MarshalByRefObject
    {
        public static void Main(string[] words)
        {
            var host = (Host)ApplicationHost.CreateApplicationHost(typeof(Host), "/", words[0]);
            host.Listen(words[1]);
            Console.WriteLine("listening");
            while (Console.Read() >= 0) { }  // whoever started this holds its standard input, and ends with it
        }

        // It has to live as long as the application, however long nobody calls it from outside.
        public override object InitializeLifetimeService() { return null; }

        public void Listen(string port)
        {
            var listener = new HttpListener();
            listener.Prefixes.Add("http://127.0.0.1:" + port + "/");
            listener.Start();
            new Thread(() => { while (true) Serve(listener.GetContext()); }) { IsBackground = true }.Start();
        }

        static void Serve(HttpListenerContext context)
        {
            ThreadPool.QueueUserWorkItem(_ => HttpRuntime.ProcessRequest(new Request(context)));
        }
    }

    class Request : SimpleWorkerRequest
    {
        const string Service = "/srv.asmx";
        readonly HttpListenerContext context;
        readonly MemoryStream answer = new MemoryStream();

        public Request(HttpListenerContext context) : base(context.Request.Url.AbsolutePath.Substring(1), "", null)
        {
            this.context = context;
        }

        public override string GetHttpVerbName() { return context.Request.HttpMethod; }
        public override string GetHttpVersion() { return "HTTP/1.1"; }
        public override string GetRawUrl() { return context.Request.RawUrl; }
        public override string GetUriPath() { return context.Request.Url.AbsolutePath; }
        public override string GetQueryString() { return context.Request.Url.Query.TrimStart('?'); }
        public override string GetRemoteAddress() { return context.Request.RemoteEndPoint.Address.ToString(); }
        public override string GetLocalAddress() { return "127.0.0.1"; }
        public override string GetServerName() { return context.Request.Url.Host; }
        public override int GetLocalPort() { return context.Request.LocalEndPoint.Port; }

        public override string GetFilePath()
        {
            var path = GetUriPath();
            return path.StartsWith(Service, StringComparison.OrdinalIgnoreCase) ? path.Substring(0, Service.Length) : path;
        }

        public override string GetPathInfo() { return GetUriPath().Substring(GetFilePath().Length); }

        public override string GetFilePathTranslated() { return MapPath(GetFilePath()); }

        public override string MapPath(string path)
        {
            return Path.Combine(HttpRuntime.AppDomainAppPath, path.TrimStart('/'));
        }

        public override string GetKnownRequestHeader(int index)
        {
            return context.Request.Headers[GetKnownRequestHeaderName(index)];
        }

        public override string GetUnknownRequestHeader(string name) { return context.Request.Headers[name]; }

        public override string[][] GetUnknownRequestHeaders()
        {
            var names = Array.FindAll(context.Request.Headers.AllKeys, name => GetKnownRequestHeaderIndex(name) < 0);
            return Array.ConvertAll(names, name => new[] { name, context.Request.Headers[name] });
        }

        public override byte[] GetPreloadedEntityBody() { return null; }
        public override bool IsEntireEntityBodyIsPreloaded() { return false; }

        public override int ReadEntityBody(byte[] buffer, int size)
        {
            return context.Request.InputStream.Read(buffer, 0, size);
        }

        public override void SendStatus(int code, string words)
        {
            context.Response.StatusCode = code;
            context.Response.StatusDescription = words;
        }

        public override void SendKnownResponseHeader(int index, string value) { Send(GetKnownResponseHeaderName(index), value); }

        public override void SendUnknownResponseHeader(string name, string value) { Send(name, value); }

        void Send(string name, string value)
        {
            if (name == "Content-Type") context.Response.ContentType = value;
            else if (name != "Content-Length" && name != "Connection") context.Response.AppendHeader(name, value);
        }

        public override void SendResponseFromMemory(byte[] bytes, int length) { answer.Write(bytes, 0, length); }

        public override void FlushResponse(bool last)
        {
            if (last) EndOfRequest();
        }

        public override void EndOfRequest()
        {
            if (!answer.CanWrite) return;
            context.Response.ContentLength64 = answer.Length;
            try
            {
                answer.WriteTo(context.Response.OutputStream);
                context.Response.Close();
            }
            catch (Exception) { context.Response.Abort(); }  // nobody is there any more
            answer.Close();
        }
    }
}
