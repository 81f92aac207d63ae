%% Clients, and the calls that the broker makes for them, in the shapes of the stock plugin.
-module(client).

-export([new/1, new/2, connect/3, refused/3, disconnect/3, take_over/3, login/3, acl/4, tell/3, args/2]).

%% A client by its clientid, with the broker's usual values and the given ones instead of them.
new(Clientid) -> new(Clientid, #{}).

new(Clientid, Fields) ->
    maps:merge(#{clientid => Clientid, username => Clientid, peerhost => <<"127.0.0.1">>, sockport => 1883,
                 protocol => mqtt, proto_ver => 4, mountpoint => <<>>, node => 'emqx@127.0.0.1',
                 is_superuser => false, anonymous => false}, Fields).

%% The calls up to CONNACK, one after the other; crashes unless the login is allowed.
connect(Host, Client, Password) ->
    ok = tell(Host, client_connect, Client),
    {ok, {0, true}} = login(Host, Client, Password),
    ok = tell(Host, client_connected, Client),
    ok = tell(Host, session_created, Client),
    tell(Host, {client_connack, success}, Client).

%% The calls up to CONNACK; crashes unless the login is denied.
refused(Host, Client, Password) ->
    ok = tell(Host, client_connect, Client),
    {ok, {0, false}} = login(Host, Client, Password),
    tell(Host, {client_connack, not_authorized}, Client).

disconnect(Host, Client, Reason) ->
    ok = tell(Host, {client_disconnected, Reason}, Client),
    tell(Host, {session_terminated, <<"{shutdown,", Reason/binary, "}">>}, Client).

%% A second connection of a client that is connected. The end of the old session is told by another
%% process of the broker, so it may come in several places: before the new session (early) or after
%% the CONNACK (late). `Kind` is clean or persistent.
take_over(Host, Client, {Kind, When}) ->
    {Old, New} = case Kind of
        clean -> {session_discarded, session_created};
        persistent -> {session_takeovered, session_resumed}
    end,
    ok = tell(Host, client_connect, Client),
    {ok, {0, true}} = login(Host, Client, <<"right">>),
    ok = tell(Host, client_connected, Client),
    [ok = tell(Host, Old, Client) || When =:= early],
    ok = tell(Host, New, Client),
    ok = tell(Host, {client_connack, success}, Client),
    [ok = tell(Host, Old, Client) || When =:= late],
    ok.

login(Host, Client, Password) ->
    host:hook(Host, client_authenticate, args({client_authenticate, Password}, Client)).

acl(Host, Client, Action, Topic) ->
    host:hook(Host, client_check_acl, args({client_check_acl, Action, Topic}, Client)).

%% A hook whose answer decides nothing.
tell(Host, Call, Client) ->
    Hook = case Call of {Name, _} -> Name; {Name, _, _} -> Name; Name -> Name end,
    case host:hook(Host, Hook, args(Call, Client)) of
        {ok, undefined} -> ok;
        {ok, ok} -> ok;
        unregistered -> ok;
        Other -> {Hook, Other}
    end.

%% The arguments of one call, without the state.
args(client_connect, Client) -> [conninfo(Client), []];
args({client_connack, Code}, Client) -> [conninfo(Client), Code, []];
args({client_authenticate, Password}, Client) -> [clientinfo(Client#{anonymous := true}, Password), true];
args({client_check_acl, Action, Topic}, Client) -> [clientinfo(Client), Action, Topic, true];
args({client_disconnected, Reason}, Client) -> [clientinfo(Client), Reason];
args({client_subscribe, Filters}, Client) -> [clientinfo(Client), [], Filters];
args(client_unsubscribe, Client) -> [clientinfo(Client), [], []];
args({session_subscribed, Topic, Qos}, Client) ->
    [clientinfo(Client), Topic, [{is_new, true}, {nl, 0}, {qos, Qos}, {rap, 0}, {rh, 0}]];
args({session_unsubscribed, Topic}, Client) -> [clientinfo(Client), Topic];
args({session_terminated, Reason}, Client) -> [clientinfo(Client), Reason];
args({message_publish, Topic, Payload}, Client) ->
    #{node := Node, clientid := Clientid} = Client,
    [[{node, Node}, {id, <<"0005C9A7D6F1B2C3D4E5F60718293A4B">>}, {qos, 1}, {from, Clientid}, {topic, Topic},
      {payload, Payload}, {timestamp, os:system_time(millisecond)}]];
args(Hook, Client) when is_atom(Hook) -> [clientinfo(Client)].

conninfo(#{node := Node, clientid := Clientid, username := Username, peerhost := Peerhost, sockport := Port,
           proto_ver := Version}) ->
    [{node, Node}, {clientid, Clientid}, {username, Username}, {peerhost, Peerhost}, {sockport, Port},
     {proto_name, <<"MQTT">>}, {proto_ver, Version}, {keepalive, 60}].

clientinfo(Client) -> clientinfo(Client, <<>>).

clientinfo(#{node := Node, clientid := Clientid, username := Username, peerhost := Peerhost, sockport := Port,
             protocol := Protocol, mountpoint := Mountpoint, is_superuser := Super, anonymous := Anonymous},
           Password) ->
    [{node, Node}, {clientid, Clientid}, {username, Username}, {password, Password}, {peerhost, Peerhost},
     {sockport, Port}, {protocol, Protocol}, {mountpoint, Mountpoint}, {is_superuser, Super},
     {anonymous, Anonymous}].
