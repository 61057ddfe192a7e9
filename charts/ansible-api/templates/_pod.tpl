{{/* The parts of pods. */}}

{{/* What all pods have in common; of (dict "root" $ "podSecurityContext" {…}). */}}
{{- define "ansible-api.podBasics" -}}
automountServiceAccountToken: false
# A Service of this name would put ANSIBLE_API_PORT and others into the environment, which the settings refuse.
enableServiceLinks: false
securityContext:
  {{- include "ansible-api.over" (list .root.Values.podSecurityContext .podSecurityContext) | fromJson | toYaml | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where pods may run; of (dict "root" $ "place" {…} "labels" "…"). */}}
{{- define "ansible-api.placement" -}}
{{- with .place.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .place.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .place.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .place.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- include "ansible-api.over" (list (dict "labelSelector" (dict "matchLabels" (fromYaml $.labels))) .) | fromJson | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- with .place.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Image and rights of a container, whose entry point is `ansible-api`; of (dict "root" $ "securityContext" {…}). */}}
{{- define "ansible-api.container" -}}
{{- with .root.Values.image }}
image: {{ ternary (printf "%s@%s" .repository .digest) (printf "%s:%s" .repository (default $.root.Chart.AppVersion .tag)) (not (empty .digest)) | quote }}
{{- end }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "ansible-api.over" (list .root.Values.securityContext .securityContext) | fromJson | toYaml | nindent 2 }}
{{- end -}}

{{/* Environment that is not settings: where a read-only root lets programs write, and where secrets lie. */}}
{{- define "ansible-api.env" -}}
- name: HOME
  value: /home/ansible-api
{{- range $file, $secret := fromJson (include "ansible-api.secrets" .) }}
- name: {{ $secret.variable }}
  value: /run/secrets/ansible-api/{{ $file }}
{{- end }}
{{- end -}}

{{- define "ansible-api.envFrom" -}}
- configMapRef:
    name: {{ include "ansible-api.fullname" . }}
{{- end -}}

{{- define "ansible-api.mounts" -}}
- name: secrets
  mountPath: /run/secrets/ansible-api
  readOnly: true
- name: tmp
  mountPath: /tmp
- name: home
  mountPath: /home/ansible-api
- name: state
  mountPath: /var/lib/ansible-api
{{- if .Values.objects.existingClaim }}
- name: objects
  mountPath: /var/lib/ansible-api-objects
{{- end }}
{{- end -}}

{{/* Of (dict "root" $ "state" {volume source}). */}}
{{- define "ansible-api.volumes" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $file, $secret := fromJson (include "ansible-api.secrets" .root) }}
      - secret:
          name: {{ $secret.name }}
          items:
            - key: {{ $secret.key }}
              path: {{ $file }}
      {{- end }}
{{- $scratch := dict "emptyDir" (dict "sizeLimit" .root.Values.scratchSize) }}
- name: tmp
  {{- toYaml $scratch | nindent 2 }}
- name: home
  {{- toYaml $scratch | nindent 2 }}
- name: state
  {{- toYaml (default $scratch .state) | nindent 2 }}
{{- with .root.Values.objects.existingClaim }}
- name: objects
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- end -}}

{{/* Keeps API and workers from starting before the schema is theirs. */}}
{{- define "ansible-api.wait" -}}
- name: wait-for-schema
  {{- include "ansible-api.container" (dict "root" .) | nindent 2 }}
  args: [db, wait, --timeout, {{ .Values.migrations.wait | quote }}]
  env:
    {{- include "ansible-api.env" . | nindent 4 }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  envFrom:
    {{- include "ansible-api.envFrom" . | nindent 4 }}
  resources:
    requests: {cpu: 50m, memory: 128Mi}
    limits: {memory: 256Mi}
  volumeMounts:
    {{- include "ansible-api.mounts" . | nindent 4 }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
