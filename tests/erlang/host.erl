%% The broker's end of the port: starts the driver by the broker's command line, numbers calls as the
%% broker does, and starts the driver again when it dies, without a second `init`. It is strict where
%% the broker would fall over: an answer to an id that is not outstanding is a fault.
-module(host).

-export([start/1, init/1, init/2, deinit/1, hook/3, send_hook/3, call/3, call/4, send/3, raw/2, message/2, kill/1, os_pid/1, starts/1,
         wait_restart/2, faults/1, close/1]).

%% Options: dir (of the launchers), slot (python3 | java | java_4_1), policy (folder of rules.yaml),
%% module (default rules), minor (of the external term format, default 1).
-spec start(map()) -> pid().
start(Options) ->
    Self = self(),
    Pid = spawn(fun() ->
        process_flag(trap_exit, true),
        State = open(#{options => Options, pending => #{}, faults => [], starts => 0, state => {}}),
        Self ! {self(), started},
        loop(State)
    end),
    receive {Pid, started} -> Pid end.

%% What the plugin does when it is loaded: `{ok, Hooks}` keeps the driver's state for later calls.
init(Host) -> init(Host, 15000).

init(Host, Timeout) ->
    case call(Host, init, no_state, [], Timeout) of
        {ok, {0, {Hooks, State}}} ->
            %% The broker makes atoms of the three names, which must be lists of characters.
            Table = maps:from_list([{list_to_atom(Hook), {list_to_atom(Module), list_to_atom(Function)}}
                                    || {Hook, Module, Function, Opts} <- Hooks, is_list(Opts)]),
            Host ! {loaded, Table, State},
            {ok, lists:sort(maps:keys(Table))};
        Other ->
            Other
    end.

%% What the plugin does when it is unloaded.
deinit(Host) -> call(Host, deinit, no_state, [], 5000).

%% Runs a hook: `unregistered` where the driver did not ask for it in `init`, else as `call`.
hook(Host, Hook, Args) ->
    Ref = send_hook(Host, Hook, Args),
    receive
        {Ref, Answer} -> Answer
    after 5000 -> timeout
    end.

%% The answer comes as `{Ref, Answer}`.
send_hook(Host, Hook, Args) ->
    Ref = make_ref(),
    Host ! {hook, {self(), Ref}, Hook, Args},
    Ref.

%% Calls a function of the driver, registered or not: `{ok, Result}`, `{error, Term}` as the driver answered it, `died` or `timeout`.
call(Host, Function, Args) -> call(Host, Function, Args, 5000).

call(Host, Function, Args, Timeout) -> call(Host, Function, with_state, Args, Timeout).

call(Host, Function, State, Args, Timeout) ->
    Ref = make_ref(),
    Host ! {call, {self(), Ref}, Function, State, Args},
    receive
        {Ref, Answer} -> Answer
    after Timeout -> timeout
    end.

%% The answer comes as `{Ref, Answer}`.
send(Host, Function, Args) ->
    Ref = make_ref(),
    Host ! {call, {self(), Ref}, Function, with_state, Args},
    Ref.

%% A frame as it was recorded, with the id that stands in it. The answer comes as `{Ref, Answer}`.
raw(Host, {Id, Frame}) ->
    Ref = make_ref(),
    Host ! {raw, {self(), Ref}, Id, Frame},
    Ref.

%% A term that is no call.
message(Host, Term) ->
    Host ! {term, Term},
    ok.

kill(Host) ->
    os:cmd("kill -9 " ++ integer_to_list(os_pid(Host))),
    ok.

os_pid(Host) -> ask(Host, os_pid).

%% How often the driver was started.
starts(Host) -> ask(Host, starts).

%% Waits until the driver was started so many times in all.
wait_restart(Host, Starts) ->
    case starts(Host) of
        N when N >= Starts -> ok;
        _ -> timer:sleep(20), wait_restart(Host, Starts)
    end.

%% Answers that no broker would survive.
faults(Host) -> ask(Host, faults).

%% What the broker does on unload and at its end: the driver reads end of input. Gives the
%% milliseconds that the driver stayed, or `lingers`.
close(Host) ->
    Pid = os_pid(Host),
    Host ! close,
    gone(Pid, erlang:monotonic_time(millisecond)).

gone(Pid, Start) ->
    Waited = erlang:monotonic_time(millisecond) - Start,
    case filelib:is_dir("/proc/" ++ integer_to_list(Pid)) of
        false -> Waited;
        true when Waited > 15000 -> lingers;
        true -> timer:sleep(10), gone(Pid, Start)
    end.

ask(Host, What) ->
    Ref = make_ref(),
    Host ! {ask, {self(), Ref}, What},
    receive {Ref, Answer} -> Answer after 10000 -> error({host, What}) end.

%% ---------------------------------------------------------------------------------------------------

open(#{options := Options, starts := Starts} = State) ->
    {Program, Args, Env} = command(Options),
    Port = open_port({spawn_executable, Program},
                     [{packet, 4}, binary, use_stdio, hide, exit_status, {args, Args}, {env, Env}]),
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    State#{port => Port, os_pid => OsPid, starts => Starts + 1}.

command(#{dir := Dir, slot := Slot, policy := Policy}) ->
    Tail = ["--packet=4", "--use_stdio", "--compressed=0", "--buffer_size=65536"],
    ClassPath = "/nonexistent/priv/java/erlport.jar:" ++ Policy,
    case Slot of
        python3 ->
            {filename:join(Dir, "python3"), ["-u", "-m", "erlport.cli" | Tail],
             [{"PYTHONPATH", "/nonexistent/priv/python3:" ++ Policy}]};
        java ->
            {filename:join(Dir, "java"), ["-cp", ClassPath, "com.erlport.Main" | Tail], [{"JAVAPATH", ClassPath}]};
        java_4_1 ->
            {filename:join(Dir, "java"), ["-cp", ClassPath, "erlport.CLI" | Tail], [{"JAVAPATH", ClassPath}]}
    end.

loop(#{port := Port, pending := Pending, options := Options} = State) ->
    receive
        {call, From, Function, WithState, Args} ->
            Id = lists:max([0 | maps:keys(Pending)]) + 1,
            Module = maps:get(module, Options, rules),
            All = case WithState of with_state -> Args ++ [maps:get(state, State)]; no_state -> Args end,
            loop(command(State, {'C', Id, Module, Function, All}, Id, From));
        {hook, {Pid, Ref} = From, Hook, Args} ->
            case State of
                #{hooks := #{Hook := {Module, Function}}} ->
                    Id = lists:max([0 | maps:keys(Pending)]) + 1,
                    loop(command(State, {'C', Id, Module, Function, Args ++ [maps:get(state, State)]}, Id, From));
                #{} ->
                    Pid ! {Ref, unregistered},
                    loop(State)
            end;
        {raw, From, Id, Frame} ->
            true = port_command(Port, Frame),
            loop(State#{pending := Pending#{Id => From}});
        {term, Term} ->
            true = port_command(Port, encode(Term, Options)),
            loop(State);
        {loaded, Hooks, Term} ->
            loop(State#{hooks => Hooks, state := Term});
        {ask, {Pid, Ref}, What} ->
            Pid ! {Ref, maps:get(What, State)},
            loop(State);
        {Port, {data, Data}} ->
            loop(answer(binary_to_term(Data), State));
        {Port, {exit_status, _}} ->
            catch port_close(Port),
            loop(again(State));
        %% A write to a driver that is gone closes the port without a status.
        {'EXIT', Port, _} ->
            loop(again(State));
        %% The last of a driver before this one.
        {Old, _} when is_port(Old) ->
            loop(State);
        {'EXIT', _, _} ->
            loop(State);
        close ->
            port_close(Port),
            last_words(State)
    end.

again(#{pending := Pending} = State) ->
    [Pid ! {Ref, died} || {Pid, Ref} <- maps:values(Pending)],
    timer:sleep(100),
    open(State#{pending := #{}}).

%% A host that was closed still tells what it saw.
last_words(State) ->
    receive
        {ask, {Pid, Ref}, What} -> Pid ! {Ref, maps:get(What, State)}, last_words(State);
        {Port, _} when is_port(Port) -> last_words(State);
        {'EXIT', _, _} -> last_words(State)
    end.

command(#{port := Port, pending := Pending, options := Options} = State, Term, Id, {Pid, Ref} = From) ->
    %% The driver may have died a moment ago; what is called in the gap dies with it.
    try port_command(Port, encode(Term, Options)) of
        true -> State#{pending := Pending#{Id => From}}
    catch
        error:badarg -> Pid ! {Ref, died}, State
    end.

encode(Term, Options) -> term_to_binary(Term, [{minor_version, maps:get(minor, Options, 1)}]).

answer({Kind, Id, Result}, #{pending := Pending, faults := Faults} = State) when Kind =:= r; Kind =:= e ->
    case maps:take(Id, Pending) of
        {{Pid, Ref}, Rest} ->
            Pid ! {Ref, {case Kind of r -> ok; e -> error end, Result}},
            State#{pending := Rest};
        error ->
            State#{faults := [{not_outstanding, Kind, Id, Result} | Faults]}
    end;
answer({'P', Text}, State) ->
    io:put_chars(standard_error, Text),
    State;
answer(Term, #{faults := Faults} = State) ->
    State#{faults := [{no_answer, Term} | Faults]}.
