<%@ WebService Class="Interop.Srv" %>
