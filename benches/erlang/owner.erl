%% The process that owns the port, at the cost that it has in the broker: ids one above the largest that is
%% outstanding, which an ordered list holds, and a timer for each call.
-module(owner).
-behaviour(gen_server).

-export([open/2, call/3, os_pid/1, close/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(CALL_TIMEOUT, 5000).

%% Starts a driver and has it load the policy `rules`. What comes back goes into `call`.
open({Program, Args}, Env) ->
    {ok, Pid} = gen_server:start_link(?MODULE, {Program, Args, Env}, []),
    {ok, {0, {Rows, State}}} = gen_server:call(Pid, {call, rules, init, []}, infinity),
    Hooks = maps:from_list([{list_to_atom(Hook), {list_to_atom(Module), list_to_atom(Function)}}
                            || {Hook, Module, Function, _} <- Rows]),
    {Pid, Hooks, State}.

%% Runs a hook: `{ok, Answer}`, or `{error, timeout}`.
call({Pid, Hooks, State}, Hook, Args) ->
    #{Hook := {Module, Function}} = Hooks,
    gen_server:call(Pid, {call, Module, Function, Args ++ [State]}, infinity).

os_pid({Pid, _, _}) -> gen_server:call(Pid, os_pid).

%% Ends the driver's input, and waits until the driver is gone.
close({Pid, _, _} = Driver) ->
    OsPid = os_pid(Driver),
    ok = gen_server:call(Pid, close),
    gone("/proc/" ++ integer_to_list(OsPid), 1500).

gone(_, 0) -> lingers;
gone(Folder, Left) ->
    case filelib:is_dir(Folder) of
        false -> ok;
        true -> timer:sleep(10), gone(Folder, Left - 1)
    end.

%% ---------------------------------------------------------------------------------------------------

init({Program, Args, Env}) ->
    Port = open_port({spawn_executable, Program},
                     [{packet, 4}, binary, use_stdio, hide, exit_status, {args, Args}, {env, Env}]),
    {ok, #{port => Port, sent => orddict:new()}}.

handle_call({call, Module, Function, Args}, From, #{port := Port, sent := Sent} = State) ->
    Id = case orddict:fetch_keys(Sent) of
        [] -> 1;
        Ids -> lists:max(Ids) + 1
    end,
    Timer = erlang:send_after(?CALL_TIMEOUT, self(), {late, Id}),
    Term = term_to_binary({'C', Id, Module, Function, Args}, [{minor_version, 1}, {compressed, 0}]),
    true = port_command(Port, Term),
    {noreply, State#{sent := orddict:store(Id, {From, Timer}, Sent)}};
handle_call(os_pid, _From, #{port := Port} = State) ->
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    {reply, OsPid, State};
handle_call(close, From, #{port := Port} = State) ->
    port_close(Port),
    gen_server:reply(From, ok),
    {stop, normal, State}.

handle_cast(_, State) -> {noreply, State}.

handle_info({Port, {data, Data}}, #{port := Port, sent := Sent} = State) ->
    {r, Id, Result} = binary_to_term(Data),
    {From, Timer} = orddict:fetch(Id, Sent),
    case Timer of
        late -> ok;
        _ -> erlang:cancel_timer(Timer), gen_server:reply(From, {ok, Result})
    end,
    {noreply, State#{sent := orddict:erase(Id, Sent)}};
%% The id stays taken until the answer comes.
handle_info({late, Id}, #{sent := Sent} = State) ->
    case orddict:find(Id, Sent) of
        {ok, {From, _}} ->
            gen_server:reply(From, {error, timeout}),
            {noreply, State#{sent := orddict:store(Id, {From, late}, Sent)}};
        error ->
            {noreply, State}
    end.
