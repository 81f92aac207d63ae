%% The clients that call, and what they ask.
-module(fleet).

-export([prepare/0, size/0, args/3, pair/3]).

-define(CLIENTS, 10000).
-define(SITES, 100).

size() -> ?CLIENTS.

%% Makes clients and topics once, for all processes to read.
prepare() ->
    Clients = [client(N) || N <- lists:seq(0, ?CLIENTS - 1)],
    persistent_term:put({?MODULE, clients}, list_to_tuple(Clients)),
    persistent_term:put({?MODULE, topics}, list_to_tuple([topic(N) || N <- lists:seq(0, ?SITES - 1)])).

client(N) ->
    Name = iolist_to_binary(io_lib:format("device-~10..0b", [N])),
    Peer = iolist_to_binary(io_lib:format("10.0.~b.~b", [N div 250 rem 250, N rem 250 + 1])),
    #{clientid => Name, peerhost => Peer}.

%% One for each filter of the policy, which are of three kinds.
topic(N) ->
    Ending = case N rem 3 of 0 -> "kitchen/state"; 1 -> "up/temperature/1"; 2 -> "room/light" end,
    iolist_to_binary(["site/", integer_to_list(N), $/, Ending]).

%% The arguments of a hook's call for the client of a number, the state left out.
args(client_authenticate, N, _) ->
    [clientinfo(N, <<"secret">>, true), true];
args(client_check_acl, N, Call) ->
    Topics = persistent_term:get({?MODULE, topics}),
    Action = case Call rem 2 of 0 -> publish; 1 -> subscribe end,
    [clientinfo(N, <<>>, false), Action, element(Call * 37 rem ?SITES + 1, Topics), true];
args(client_connected, N, _) ->
    [clientinfo(N, <<>>, false)];
args(client_disconnected, N, _) ->
    [clientinfo(N, <<>>, false), <<"tcp_closed">>].

%% Connections one after the other, of clients that no other caller has.
pair(Caller, Callers, Call) ->
    Own = ?CLIENTS div Callers,
    N = Caller + Callers * (Call div 2 rem Own),
    case Call rem 2 of
        0 -> {client_connected, N};
        1 -> {client_disconnected, N}
    end.

clientinfo(N, Password, Anonymous) ->
    #{clientid := Clientid, peerhost := Peer} = element(N rem ?CLIENTS + 1, persistent_term:get({?MODULE, clients})),
    [{node, 'emqx@127.0.0.1'}, {clientid, Clientid}, {username, Clientid}, {password, Password}, {peerhost, Peer},
     {sockport, 1883}, {protocol, mqtt}, {mountpoint, <<>>}, {is_superuser, false}, {anonymous, Anonymous}].
