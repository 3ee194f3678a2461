{# Any minion can fire this event with any data. So quote the id; orch/open.sls asks hart about it. #}
open for a node:
  runner.state.orchestrate:
    - args:
      - mods: orch.open
      - pillar:
          minion_id: {{ data.get('minion_id') | tojson }}
