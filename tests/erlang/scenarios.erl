%% What is played to the driver. Each scenario checks every answer itself and crashes on the first that
%% is wrong; what the caller must look at (in the database, say) goes into the report, a line each.
%%
%% Run as: erl -noinput -pa DIR -run scenarios main -extra NAME LAUNCHERS SLOT POLICY REPORT [MORE]
-module(scenarios).

-export([main/0]).

main() ->
    [Name, Dir, Slot, Policy, Report | More] = init:get_plain_arguments(),
    {ok, File} = file:open(Report, [raw, write]),
    put(report, File),
    Options = #{dir => Dir, slot => list_to_atom(Slot), policy => Policy},
    Status = try scenario(list_to_atom(Name), Options, More) of
        ok -> 0
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "scenario ~s failed: ~p:~tp~n~tp~n", [Name, Class, Reason, Stack]),
            1
    end,
    file:close(File),
    halt(Status).

%% The three ways in which the broker starts a driver.
scenario(slots, Options, []) ->
    [begin
        Host = host:start(Options#{slot := Slot, minor => Minor}),
        {ok, _} = host:init(Host),
        Client = client:new(<<"dev-1">>),
        ok = client:connect(Host, Client, <<"right">>),
        ok = client:disconnect(Host, Client, <<"normal">>),
        {ok, _} = host:deinit(Host),
        done(Host)
     end || Slot <- [python3, java, java_4_1], Minor <- [1, 2]],
    ok;

%% What `init` registers.
scenario(hooks, Options, []) ->
    Host = host:start(Options),
    {ok, Hooks} = host:init(Host),
    [report([atom_to_list(Hook)]) || Hook <- Hooks],
    done(Host);

%% What is answered to each hook, and what to functions that nobody knows.
scenario(answers, Options, []) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    [logs_in(Host, Expected, client:new(Clientid, Fields), Password)
     || {Expected, Clientid, Fields, Password} <- logins()],
    [asks(Host, Expected, client:new(Clientid), Action, Topic)
     || {Expected, Clientid, Action, Topic} <- topics()],
    every_hook(Host),
    {ok, undefined} = host:call(Host, on_client_enhanced, [1, 2, 3]),
    {ok, undefined} = host:call(Host, on_client_check_acl_complete, []),
    {ok, {0, false}} = host:call(Host, on_client_preauthenticate, [1, 2, 3]),
    {ok, {0, false}} = host:call(Host, on_topic_check_acl, []),
    %% Calls that are well formed and of no known shape: denied where the answer decides.
    [{ok, {0, false}} = host:call(Host, Function, Args)
     || Function <- [on_client_authenticate, on_client_check_acl],
        Args <- [[], [1, 2, 3], [[], true], [[{clientid, <<"dev-1">>}], publish, <<"t">>, true],
                 [#{clientid => <<"dev-1">>}, true], [[{clientid, 7}], true], [[{clientid, <<255>>}], true]]],
    [{ok, undefined} = host:call(Host, Function, Args)
     || Function <- [on_client_connected, on_client_disconnected, on_session_discarded, on_client_connack],
        Args <- [[], [1], [1, 2, 3, 4, 5], [[{clientid, <<255>>}], <<"normal">>], [#{}, #{}]]],
    host:message(Host, {'M', {some, <<"message">>}}),
    host:message(Host, {'M', self()}),
    logs_in(Host, allow, client:new(<<"dev-1">>), <<"right">>),
    {ok, _} = host:deinit(Host),
    done(Host);

%% Thousands of calls outstanding at once, from many processes, tells and asks mixed.
scenario(many, Options, [Clients]) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    Count = list_to_integer(Clients),
    Ids = [iolist_to_binary(["dev-", integer_to_list(N)]) || N <- lists:seq(10, Count + 9)],
    Parent = self(),
    Workers = [spawn_link(fun() ->
        Client = client:new(Id),
        Own = <<"dev/", Id/binary, "/up/t">>,
        Calls = [{client_authenticate, {client_authenticate, <<"right">>}, {0, true}},
                 {client_authenticate, {client_authenticate, <<"wrong">>}, {0, false}},
                 {client_connected, client_connected, undefined},
                 {client_check_acl, {client_check_acl, publish, Own}, {0, true}},
                 {client_check_acl, {client_check_acl, publish, <<"dev/other/up/t">>}, {0, false}},
                 {client_check_acl, {client_check_acl, subscribe, <<"#">>}, {0, false}},
                 {session_created, session_created, undefined}],
        Refs = [{host:send_hook(Host, Hook, client:args(Call, Client)), Expected} || {Hook, Call, Expected} <- Calls],
        Parent ! {self(), [{collect(Ref), Expected} || {Ref, Expected} <- Refs]}
    end) || Id <- Ids],
    Answers = lists:append([receive {Worker, Results} -> Results end || Worker <- Workers]),
    [] = [Wrong || {Answer, Expected} = Wrong <- Answers, Answer =/= {ok, Expected}, Answer =/= unregistered],
    report([integer_to_list(length([x || {{ok, _}, _} <- Answers]))]),
    done(Host);

%% The recorded calls one after the other as the broker made them, each frame byte for byte.
scenario(recording, Options, Files) ->
    Host = host:start(Options#{module => allhooks}),
    Calls = recorded(Files),
    [{_, _, init, [], Frame} | Rest] = Calls,
    InitRef = host:raw(Host, {1, Frame}),
    {ok, {0, {_, _}}} = collect(InitRef),
    play(Host, Rest, #{}),
    timer:sleep(300),
    done(Host);

%% The same calls with ids of our own, all at once.
scenario(burst, Options, Files) ->
    Host = host:start(Options#{module => allhooks}),
    {ok, _} = host:init(Host),
    [_Init | Rest] = recorded(Files),
    Sent = [{Call, host:send(Host, Function, lists:droplast(Args))}
            || {_, _, Function, Args, _} = Call <- Rest, Function =/= deinit],
    [answered(Call, collect(Ref)) || {Call, Ref} <- Sent],
    done(Host);

%% Both of the broker's drivers at once, which are told everything twice.
scenario(both, Options, []) ->
    Hosts = [host:start(Options#{slot := Slot}) || Slot <- [python3, java]],
    [{ok, _} = host:init(Host) || Host <- Hosts],
    Clients = [client:new(Id) || Id <- [<<"dev-1">>, <<"dev-2">>]],
    [ok = client:connect(Host, Client, <<"right">>) || Client <- Clients, Host <- Hosts],
    [ok = client:disconnect(Host, hd(Clients), <<"normal">>) || Host <- Hosts],
    [done(Host) || Host <- Hosts],
    ok;

%% Clients that take their own sessions over, in every order that the broker may tell it in.
scenario(take_over, Options, []) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    [begin
        Client = client:new(Id),
        ok = client:connect(Host, Client, <<"right">>),
        ok = client:take_over(Host, Client, Kind)
     end || {Id, Kind} <- [{<<"dev-1">>, {clean, early}}, {<<"dev-2">>, {clean, late}},
                           {<<"dev-3">>, {persistent, early}}, {<<"dev-4">>, {persistent, late}}]],
    %% One that comes back and goes again.
    Client = client:new(<<"dev-5">>),
    ok = client:connect(Host, Client, <<"right">>),
    ok = client:take_over(Host, Client, {clean, early}),
    ok = client:disconnect(Host, Client, <<"normal">>),
    %% One that resumes a session of which nobody was connected.
    Resumed = client:new(<<"dev-6">>),
    ok = client:connect(Host, Resumed, <<"right">>),
    ok = client:tell(Host, {client_disconnected, <<"tcp_closed">>}, Resumed),
    ok = client:take_over(Host, Resumed, {persistent, late}),
    done(Host);

%% A driver that is killed and started again under the same broker, without `init`; then the broker
%% ends with its clients connected.
scenario(driver_restart, Options, []) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    [ok = client:connect(Host, client:new(Id), <<"right">>) || Id <- [<<"dev-1">>, <<"dev-2">>, <<"dev-3">>]],
    host:kill(Host),
    host:wait_restart(Host, 2),
    ok = client:disconnect(Host, client:new(<<"dev-2">>), <<"normal">>),
    ok = client:connect(Host, client:new(<<"dev-4">>), <<"right">>),
    ok = client:refused(Host, client:new(<<"dev-5">>), <<"wrong">>),
    {ok, {0, true}} = client:acl(Host, client:new(<<"dev-1">>), publish, <<"dev/dev-1/up/t">>),
    {ok, {0, false}} = client:acl(Host, client:new(<<"dev-1">>), publish, <<"dev/dev-2/up/t">>),
    done(Host);

%% The next broker, with one client of its own.
scenario(next_broker, Options, [Id]) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    ok = client:connect(Host, client:new(list_to_binary(Id)), <<"right">>),
    done(Host);

%% Rounds of clients that connect while the driver is killed. Reports every `connected` that was
%% acknowledged.
scenario(killed, Options, [Rounds]) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    [killed_round(Host, N) || N <- lists:seq(1, list_to_integer(Rounds))],
    done(Host);

%% Logins and `connected` while someone else holds the database: says `ready`, and goes on for the
%% given seconds. Reports how long the slowest login took and every `connected` that was sent.
scenario(locked, Options, [Seconds]) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    ok = client:connect(Host, client:new(<<"dev-0">>), <<"right">>),
    io:format("ready~n"),
    End = now_ms() + 1000 * list_to_integer(Seconds),
    {Last, Slowest, SlowestTell} = keep_connecting(Host, 10, End, 0, 0),
    report(["logins ", integer_to_list(Last - 9)]),
    report(["slowest_login_ms ", integer_to_list(Slowest)]),
    report(["slowest_connected_ms ", integer_to_list(SlowestTell)]),
    done(Host);

%% A policy that does not load: `init` says so, and whoever calls all the same is denied.
scenario(broken, Options, []) ->
    Host = host:start(Options),
    {ok, {1, _Reason}} = host:init(Host),
    {ok, {0, false}} = host:call(Host, on_client_authenticate,
                                 client:args({client_authenticate, <<"right">>}, client:new(<<"dev-1">>))),
    {ok, {0, false}} = host:call(Host, on_client_check_acl,
                                 client:args({client_check_acl, publish, <<"dev/dev-1/up/t">>}, client:new(<<"dev-1">>))),
    done(Host);

%% A good policy that is broken while the driver is down. The caller breaks it between the two lines.
scenario(broken_later, Options, [Expected]) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    io:format("ready~n"),
    wait_for_file(maps:get(policy, Options) ++ "/broken"),
    host:kill(Host),
    host:wait_restart(Host, 2),
    Client = client:new(<<"dev-1">>),
    Answer = case Expected of "denied" -> {0, false}; "no_opinion" -> undefined end,
    {ok, Answer} = client:login(Host, Client, <<"right">>),
    {ok, Answer} = client:acl(Host, Client, publish, <<"dev/dev-1/up/t">>),
    done(Host);

%% A policy that is another one from some time on, also for the driver that is started after that.
scenario(changed, Options, []) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    Client = client:new(<<"dev-1">>),
    {ok, {0, true}} = client:login(Host, Client, <<"right">>),
    io:format("ready~n"),
    wait_for_login(Host, Client, {0, false}),
    {ok, {0, true}} = client:login(Host, client:new(<<"dev-2">>), <<"right">>),
    host:kill(Host),
    host:wait_restart(Host, 2),
    {ok, {0, false}} = client:login(Host, Client, <<"right">>),
    wait_for_file(maps:get(policy, Options) ++ "/seen"),
    done(Host);

%% A client whose logins failed too often is kept out. Once that is on disk, as the file `banned` says, the driver is
%% killed, and the next one keeps the client out until the ban is lifted from outside.
scenario(locked_out, Options, []) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    [ok = client:refused(Host, client:new(<<"dev-1">>), <<"wrong">>) || _ <- lists:seq(1, 3)],
    ok = client:refused(Host, client:new(<<"dev-1">>), <<"right">>),
    ok = client:connect(Host, client:new(<<"dev-2">>), <<"right">>),
    wait_for_file(maps:get(policy, Options) ++ "/banned"),
    host:kill(Host),
    host:wait_restart(Host, 2),
    ok = client:refused(Host, client:new(<<"dev-1">>), <<"right">>),
    io:format("ready~n"),
    wait_for_login(Host, client:new(<<"dev-1">>), {0, true}),
    done(Host);

%% Guesses from another address, all sent before the first is answered, while the right password is remembered.
scenario(guesses_at_once, Options, []) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    ok = client:connect(Host, client:new(<<"dev-1">>), <<"right">>),
    Guesser = client:new(<<"dev-1">>, #{peerhost => <<"192.0.2.1">>}),
    Send = fun(Password) ->
        host:send_hook(Host, client_authenticate, client:args({client_authenticate, Password}, Guesser))
    end,
    Guesses = [integer_to_binary(N) || N <- lists:seq(1, 40)] ++ [<<"right">>],
    Refs = [Send(Guess) || Guess <- Guesses],
    Answers = [receive {Ref, Answer} -> Answer after 10000 -> no_answer end || Ref <- Refs],
    Answers = [{ok, {0, false}} || _ <- Refs],
    {ok, {0, true}} = client:login(Host, client:new(<<"dev-1">>), <<"right">>),
    done(Host);

%% In audit mode nothing has an opinion.
scenario(audit, Options, []) ->
    Host = host:start(Options),
    {ok, _} = host:init(Host),
    [{ok, undefined} = client:login(Host, client:new(Clientid, Fields), Password)
     || {_, Clientid, Fields, Password} <- logins()],
    [{ok, undefined} = client:acl(Host, client:new(Clientid), Action, Topic)
     || {_, Clientid, Action, Topic} <- topics()],
    {ok, undefined} = host:call(Host, on_client_authenticate, [nonsense]),
    {ok, undefined} = host:call(Host, on_other_check_acl, []),
    done(Host).

%% ---------------------------------------------------------------------------------------------------

logins() ->
    [{allow, <<"dev-1">>, #{}, <<"right">>},
     {deny, <<"dev-1">>, #{}, <<"wrong">>},
     {deny, <<"dev-1">>, #{}, <<"right ">>},
     {deny, <<"dev-1">>, #{}, <<>>},
     {deny, <<"dev-1">>, #{}, <<255, 0, 1>>},
     {deny, <<"dev-1">>, #{username => <<"dev-2">>}, <<"right">>},
     {deny, <<"dev-1">>, #{username => <<>>}, <<"right">>},
     {deny, <<"dev-9">>, #{}, <<"right">>},
     {deny, <<"stranger">>, #{}, <<"right">>},
     {deny, <<>>, #{}, <<"right">>},
     {allow, <<"gw-1">>, #{peerhost => <<"10.1.2.3">>}, <<>>},
     {allow, <<"gw-1">>, #{peerhost => <<"::ffff:10.1.2.3">>}, <<>>},
     {deny, <<"gw-1">>, #{peerhost => <<"11.1.2.3">>}, <<>>},
     {deny, <<"gw-1">>, #{peerhost => <<"::1">>}, <<>>},
     {deny, <<"gw-1">>, #{peerhost => <<"nowhere">>}, <<>>}].

topics() ->
    [{allow, <<"dev-1">>, publish, <<"dev/dev-1/up/t">>},
     {allow, <<"dev-1">>, publish, <<"dev/dev-1/up/", 16#c3, 16#a9, "/x">>},
     {deny, <<"dev-1">>, publish, <<"dev/dev-2/up/t">>},
     {deny, <<"dev-1">>, publish, <<"dev/dev-1/down/t">>},
     {deny, <<"dev-1">>, publish, <<"dev/dev-1/up/+">>},
     {deny, <<"dev-1">>, publish, <<>>},
     {deny, <<"dev-1">>, publish, <<"dev/dev-1/up/", 255>>},
     {allow, <<"dev-1">>, subscribe, <<"dev/dev-1/down/#">>},
     {allow, <<"dev-1">>, subscribe, <<"dev/dev-1/down/+/x">>},
     {deny, <<"dev-1">>, subscribe, <<"dev/+/down/#">>},
     {deny, <<"dev-1">>, subscribe, <<"dev/dev-1/#">>},
     {deny, <<"dev-1">>, subscribe, <<"#">>},
     {deny, <<"dev-1">>, subscribe, <<"$SYS/#">>},
     {deny, <<"dev-1">>, subscribe, <<"dev/dev-1/down/#/x">>},
     {deny, <<"+">>, publish, <<"dev/+/up/t">>},
     {deny, <<"#">>, subscribe, <<"dev/#">>},
     {allow, <<"gw-1">>, subscribe, <<"dev/+/up/#">>},
     {allow, <<"gw-1">>, subscribe, <<"dev/+/up/t">>},
     {deny, <<"gw-1">>, subscribe, <<"dev/#">>}].

logs_in(Host, Expected, Client, Password) ->
    same(client:login(Host, Client, Password), Expected, {Client, Password}).

asks(Host, Expected, Client, Action, Topic) ->
    same(client:acl(Host, Client, Action, Topic), Expected, {Client, Action, Topic}).

same({ok, {0, true}}, allow, _) -> ok;
same({ok, {0, false}}, deny, _) -> ok;
same(Answer, Expected, Call) -> error({wrong_answer, Answer, Expected, Call}).

every_hook(Host) ->
    Client = client:new(<<"dev-2">>, #{peerhost => <<"::1">>, proto_ver => 5}),
    ok = client:connect(Host, Client, <<"right">>),
    [ok = client:tell(Host, Call, Client)
     || Call <- [{client_subscribe, [{<<"a/b">>, 1}, {<<"c">>, 0}]}, {session_subscribed, <<"a/b">>, 1},
                 client_unsubscribe, {session_unsubscribed, <<"a/b">>}, {message_publish, <<"a/b">>, <<0, 255>>},
                 session_resumed, session_takeovered]],
    client:disconnect(Host, Client, <<"keepalive_timeout">>).

recorded(Files) ->
    Bytes = iolist_to_binary([begin {ok, B} = file:read_file(File), B end || File <- Files]),
    frames(Bytes, 0).

frames(<<>>, _) ->
    [];
frames(<<Size:32, Frame:Size/binary, Rest/binary>>, Offset) ->
    {'C', Id, allhooks, Function, Args} = binary_to_term(Frame),
    [{Offset, Id, Function, Args, Frame} | frames(Rest, Offset + 4 + Size)].

%% A call with some id was made when every call of this id and above had been answered.
play(_Host, [], Outstanding) ->
    settle(Outstanding, 0);
play(Host, [{_, Id, _, _, Frame} = Call | Rest], Outstanding) ->
    Kept = settle(Outstanding, Id),
    play(Host, Rest, Kept#{Id => {host:raw(Host, {Id, Frame}), Call}}).

settle(Outstanding, From) ->
    maps:filter(fun
        (Id, {Ref, Call}) when Id >= From -> answered(Call, collect(Ref)), false;
        (_, _) -> true
    end, Outstanding).

answered({_, _, deinit, _, _}, {ok, _}) ->
    ok;
answered({Offset, _, on_client_authenticate, [Client, _, _], _}, {ok, Answer}) ->
    decided(Offset, "connect", Client, <<>>, Answer);
answered({Offset, _, on_client_check_acl, [Client, Action, Topic, _, _], _}, {ok, Answer}) ->
    decided(Offset, atom_to_list(Action), Client, Topic, Answer);
answered({_, _, _, _, _}, {ok, undefined}) ->
    ok;
answered(Call, Other) ->
    error({wrong_answer, Other, Call}).

decided(Offset, Action, Client, Topic, Answer) ->
    Word = case Answer of {0, true} -> "allow"; {0, false} -> "deny"; undefined -> "no opinion" end,
    report([integer_to_list(Offset), $\t, Action, $\t, proplists:get_value(clientid, Client), $\t, Topic, $\t, Word]).

%% Clients connect, 200 at once, until the driver is dead.
killed_round(Host, Round) ->
    spawn_link(fun() -> timer:sleep(20 + rand:uniform(60)), host:kill(Host) end),
    connect_until_killed(Host, Round, 0),
    host:wait_restart(Host, Round + 1).

connect_until_killed(Host, Round, From) ->
    Ids = [iolist_to_binary(io_lib:format("dev-~b-~b", [Round, N])) || N <- lists:seq(From + 1, From + 200)],
    Sent = [{Id, host:send_hook(Host, client_connected, client:args(client_connected, client:new(Id)))} || Id <- Ids],
    Answers = [{Id, collect(Ref)} || {Id, Ref} <- Sent],
    [report([Id]) || {Id, {ok, undefined}} <- Answers],
    [] = [Wrong || {_, Answer} = Wrong <- Answers, Answer =/= {ok, undefined}, Answer =/= died],
    %% It may have died while nothing was outstanding.
    case host:starts(Host) > Round of
        true -> ok;
        false -> connect_until_killed(Host, Round, From + 200)
    end.

keep_connecting(Host, N, End, Slowest, SlowestTell) ->
    Client = client:new(iolist_to_binary(["dev-", integer_to_list(N)])),
    {ok, {0, true}, Login} = timed(fun() -> client:login(Host, Client, <<"right">>) end),
    {ok, {0, true}, Acl} =
        timed(fun() -> client:acl(Host, Client, publish, iolist_to_binary(["dev/dev-", integer_to_list(N), "/up/t"])) end),
    {ok, undefined, Tell} =
        timed(fun() -> host:hook(Host, client_connected, client:args(client_connected, Client)) end),
    report(["connected dev-", integer_to_list(N)]),
    Next = {lists:max([Slowest, Login, Acl]), max(SlowestTell, Tell)},
    case now_ms() >= End of
        true -> {N, element(1, Next), element(2, Next)};
        false -> keep_connecting(Host, N + 1, End, element(1, Next), element(2, Next))
    end.

timed(Call) ->
    Start = now_ms(),
    case Call() of
        {ok, Answer} -> {ok, Answer, now_ms() - Start};
        Other -> Other
    end.

now_ms() -> erlang:monotonic_time(millisecond).

wait_for_login(Host, Client, Expected) ->
    case client:login(Host, Client, <<"right">>) of
        {ok, Expected} -> ok;
        _ -> timer:sleep(20), wait_for_login(Host, Client, Expected)
    end.

wait_for_file(Path) ->
    case filelib:is_file(Path) of
        true -> ok;
        false -> timer:sleep(20), wait_for_file(Path)
    end.

collect(Ref) ->
    receive
        {Ref, Answer} -> Answer
    after 20000 -> error({never_answered, Ref})
    end.

%% The end of the broker: nothing was answered twice or out of turn, and the driver does not linger.
done(Host) ->
    case {host:close(Host), host:faults(Host)} of
        {Waited, []} when is_integer(Waited) -> ok;
        Other -> error(Other)
    end.

report(Line) ->
    ok = file:write(get(report), [Line, $\n]).
