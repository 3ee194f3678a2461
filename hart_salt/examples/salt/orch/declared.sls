{# Which nodes exist. Only a state that changed something has changes, so a second run configures nothing again. #}
the web servers:
  hart.present:
    - ids: [web1.example.com, web2.example.com]
    - role: app

the former server:
  hart.absent:
    - name: web0.example.com
    - require:
      - hart: the web servers

configure what is new:
  salt.state:
    - tgt: roles:app
    - tgt_type: grain
    - highstate: True
    - onchanges:
      - hart: the web servers
