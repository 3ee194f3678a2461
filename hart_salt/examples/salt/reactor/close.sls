{# Any minion can fire this event with any data. So quote the addresses; orch/close.sls asks hart about them. #}
close after a node:
  runner.state.orchestrate:
    - args:
      - mods: orch.close
      - pillar:
          ip: {{ (data.get('public_ip') or data.get('private_ip')) | tojson }}
